import Foundation
import TestSupport
import Testing
import Training

@Suite struct MetricsFileTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private var bytes: [UInt8] {
        get throws { try folder.bytes(MetricsFile.name) }
    }

    private func row(_ step: Int, loss: Float = 0.1) -> MetricsRow {
        MetricsRow(
            step: step, loss: loss, learningRate: 1e-3, gradientNorm: 1 / 3,
            tokensPerSecond: 12_345.6789, seconds: 0.0125)
    }

    private func object(_ row: MetricsRow) throws -> [String: Any] {
        let object = try JSONSerialization.jsonObject(with: Data(row.json.utf8))
        return try #require(object as? [String: Any])
    }

    /// Appends steps `steps` to what is kept up to `step`.
    private func append(_ steps: ClosedRange<Int>, keeping step: Int) throws {
        let file = try MetricsFile(directory: folder.path, keeping: step)
        for step in steps { file.append(row(step)) }
    }

    @Test func aRowHasTheKeysOfTheContract() throws {
        let object = try object(row(7, loss: 3.056_385_04))
        #expect(
            Set(object.keys) == [
                "step", "loss", "loss_bits", "learning_rate", "grad_norm", "tokens_per_second",
                "seconds",
            ])
        #expect(object["step"] as? Int == 7)
        #expect(object["loss_bits"] as? String == "40439bd0")
        #expect((object["loss"] as? Double).map { Float($0) } == 3.056_385_04)
        #expect(object["learning_rate"] as? Double == 0.001)
    }

    @Test func theLossScaleStandsInTheRowsOfRunsThatHaveOne() throws {
        var row = row(7)
        #expect(try object(row)["loss_scale"] == nil)
        row.lossScale = 65536
        #expect(try object(row)["loss_scale"] as? Int == 65536)
    }

    /// Nine digits are enough to tell any two Float32 numbers apart; small ones have leading zeros.
    @Test(
        arguments: [0, .leastNonzeroMagnitude, 1, 0x1.fffffep0, .leastNormalMagnitude] as [Float])
    func theLossSurvives(loss: Float) throws {
        let object = try object(row(1, loss: loss))
        #expect((object["loss"] as? Double).map { Float($0) } == loss)
        let bits = try #require(object["loss_bits"] as? String)
        #expect(bits.count == 8 && UInt32(bits, radix: 16) == loss.bitPattern)
    }

    @Test func numbersThatAreNotFiniteAreNull() throws {
        var row = row(1, loss: .nan)
        row.gradientNorm = .infinity
        row.isSkipped = true
        row.validation = EvaluationResult(loss: .nan, targets: 9)
        let object = try object(row)
        for key in ["loss", "grad_norm", "validation_loss"] { #expect(object[key] is NSNull) }
        #expect(object["loss_bits"] as? String == "7fc00000")
        #expect(object["skipped"] as? Bool == true && object["validation_tokens"] as? Int == 9)
    }

    @Test func rowsAreOneLineEach() throws {
        try append(1...3, keeping: 0)
        let expected = (1...3).map { row($0).json + "\n" }.joined()
        #expect(try bytes == Array(expected.utf8))
    }

    /// What is of the past stays byte for byte, even where this program would write it otherwise.
    @Test func rowsBeyondAndATornLineAreCutOff() throws {
        let past = "{\"step\":1 , \"note\": \"by hand\"}\n" + row(2).json + "\n"
        try folder.write(
            MetricsFile.name, past + row(3).json + "\n" + row(4).json + "\n{\"step\": 2, \"lo")
        try append(3...4, keeping: 2)
        let expected = past + row(3).json + "\n" + row(4).json + "\n"
        #expect(try bytes == Array(expected.utf8))
    }

    @Test(arguments: [
        ("", 0), ("{\"step\": 1}", 0), ("{\"step\": 1}\n{\"step\": 2", 12),
        ("{\"step\": 1}\n\u{0}\u{0}\u{0}\n{\"step\": 2}\n", 28),
        ("{\"step\": 1}\n\u{0}\n{\"step\": 9}\n", 12),
        ("{\"step\": 1}\n{\"step\": 9}\n{\"step\": 2}\n", 36), ("\n", 0), ("[1]\n", 0),
        ("{\"step\": \"1\"}\n", 0),
    ])
    func onlyWholeRowsOfThePastAreKept(text: String, kept: Int) {
        #expect(MetricsFile.past(upTo: 2, of: Data(text.utf8)).length == kept)
    }

    /// One damaged row costs no other, and is named.
    @Test func aDamagedRowAmongTheOthersStaysAndIsNamed() throws {
        let text = "{\"step\": 1}\nx\n{\"step\": 2}\n"
        try folder.write(MetricsFile.name, text)
        let file = try MetricsFile(directory: folder.path, keeping: 2)
        #expect(file.warning?.contains("line 2: expected a row") == true)
        #expect(try bytes == Array(text.utf8))
        try folder.write(MetricsFile.name, "{\"step\": 1}\nx\n")
        #expect(try MetricsFile(directory: folder.path, keeping: 2).warning == nil)
    }

    /// A number that became larger takes no row behind it along.
    @Test func aDamagedStepIsADamagedRow() throws {
        let past = "{\"step\": 1}\n{\"step\": 92}\n{\"step\": 3}\n"
        try folder.write(MetricsFile.name, past + "{\"step\": 4}\n{\"step\": 5}\n")
        let file = try MetricsFile(directory: folder.path, keeping: 3)
        #expect(file.warning?.contains("line 2: expected a row of a step up to 3") == true)
        #expect(try bytes == Array(past.utf8))
    }

    @Test func whatIsNoFileIsNamed() throws {
        #expect(mkfifo(folder.file(MetricsFile.name), 0o600) == 0)
        let pipe = #expect(throws: RunError.self) {
            try MetricsFile(directory: folder.path, keeping: 0)
        }
        #expect(pipe?.kind == .inputOutput)
        #expect(
            pipe?.message.hasSuffix("expected a regular file, found a named pipe; move it away")
                == true, "\(pipe?.message ?? "")")
        try FileManager.default.removeItem(atPath: folder.file(MetricsFile.name))
        try FileManager.default.createSymbolicLink(
            atPath: folder.file(MetricsFile.name), withDestinationPath: "none/there")
        let link = #expect(throws: RunError.self) {
            try MetricsFile(directory: folder.path, keeping: 0)
        }
        #expect(
            link?.message.hasSuffix(
                "found a link to none/there that leads nowhere; mend or remove the link") == true,
            "\(link?.message ?? "")")
    }

    /// A saving thread and the one that appends may both make rows durable.
    @Test func threadsMaySynchronizeAtOnce() throws {
        let file = try MetricsFile(directory: folder.path, keeping: 0)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            for number in 0..<200 {
                if thread == 0 { file.append(row(number)) }
                file.synchronize()
            }
        }
        #expect(try bytes.count { $0 == UInt8(ascii: "\n") } == 200)
    }

    /// A full disk costs no row: those that it does not take are written when it does.
    @Test(.enabled(if: SmallDisk.isPossible, "a tmpfs cannot be mounted here"))
    func rowsThatTheDiskDoesNotTakeAreHeld() throws {
        let disk = try SmallDisk(at: folder.file("disk"), kibibytes: 12)
        let ballast = URL(fileURLWithPath: "\(disk.path)/ballast")
        try Data(count: 8192).write(to: ballast)
        let file = try MetricsFile(directory: disk.path, keeping: 0)
        let failures = (1...50).map { file.append(row($0)) }
        #expect(failures.compactMap(\.self).count == 1)
        #expect(file.synchronize() != nil)
        // Whole rows only, as far as there was room.
        let before = try folder.bytes("disk/\(MetricsFile.name)")
        let whole = (1...50).map { row($0).json + "\n" }.joined()
        #expect(before.last == 0x0A && before.count < 4096 && whole.utf8.starts(with: before))
        try FileManager.default.removeItem(at: ballast)
        #expect(file.append(row(51)) == nil)
        #expect(file.synchronize() == nil)
        #expect(
            try folder.bytes("disk/\(MetricsFile.name)")
                == Array((whole + row(51).json + "\n").utf8))
    }

    @Test func aFolderInItsPlaceIsOneClearError() throws {
        try FileManager.default.createDirectory(
            atPath: folder.file(MetricsFile.name), withIntermediateDirectories: false)
        let error = #expect(throws: RunError.self) {
            try MetricsFile(directory: folder.path, keeping: 0)
        }
        #expect(error?.kind == .inputOutput)
        #expect(
            error?.message
                == "\(folder.file(MetricsFile.name)): expected a regular file, found a folder; move it away"
        )
    }
}
