import Kernels
import Testing

/// What a process uses of what its processor has.
@Suite struct InstructionSetTests {
    @Test(arguments: InstructionSet.allCases)
    func theNewestIsUsedUnlessItIsCapped(processor: InstructionSet) throws {
        #expect(try InstructionSet.choice(setting: nil, processor: processor) == processor)
        for wanted in InstructionSet.allCases {
            if wanted <= processor {
                let used = try InstructionSet.choice(setting: wanted.rawValue, processor: processor)
                #expect(used == wanted)
            } else {
                let error = #expect(throws: InstructionChoiceError.self) {
                    try InstructionSet.choice(setting: wanted.rawValue, processor: processor)
                }
                #expect(
                    error?.message
                        == "MURMUR_INSTRUCTIONS: expected instructions that this processor has, "
                        + "\(processor.rawValue) at most, found \(wanted.rawValue)")
            }
        }
    }

    @Test(arguments: ["", "sse", "AVX2", "avx512 "])
    func otherNamesAreRefused(setting: String) {
        let error = #expect(throws: InstructionChoiceError.self) {
            try InstructionSet.choice(setting: setting, processor: .amx)
        }
        #expect(
            error?.message
                == "MURMUR_INSTRUCTIONS: expected one of avx2, avx512, amx, found \(setting)")
    }

    /// Where kernels are compiled for what every processor of another architecture has.
    @Test func nothingIsChosenWithoutInstructionsToChooseFrom() throws {
        #expect(try InstructionSet.choice(setting: nil, processor: nil) == nil)
        #expect(throws: InstructionChoiceError.self) {
            try InstructionSet.choice(setting: "avx2", processor: nil)
        }
    }

    @Test func thisProcessorHasWhatIsUsedHere() {
        #expect(InstructionSet.lacking.isEmpty)
        let generation = VectorInstructions.ofThisProcessor
        switch InstructionSet.ofThisProcessor {
        case nil: #expect(generation == nil)
        case .avx2: #expect(generation == .avx2)
        case .avx512, .amx: #expect(generation == .avx512)
        }
    }
}
