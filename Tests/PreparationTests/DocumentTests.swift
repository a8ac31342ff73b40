import Preparation
import Testing

@Suite struct DocumentTests {
    @Test func aTextHasOnePart() {
        #expect(Document(text: [65], number: 0).parts == [Document.Part(.text, [65])])
    }
}
