import Kernels
import Testing

@Suite
struct FeaturesTests {
    @Test func thisHostHasWhatItBuiltFor() {
        #expect(HostFeatures.missing().isEmpty)
    }

    @Test func releaseBuildsNameTheirFeatures() {
        let features = HostFeatures.compiled.split(separator: " ")
        #expect(Set(features).count == features.count)
    }
}
