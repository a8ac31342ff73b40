import Training
import Foundation
let a = CommandLine.arguments
StopSignal.install()
var world: World?
do throws(RunError) {
    let c: RunConfiguration
    let sets = a.filter { $0.contains("=") }
    do throws(ConfigurationError) { c = try RunConfiguration.load(file: a[2], overrides: sets) } catch { throw RunError(error) }
    let w = try World.enter(timeout: c.run.communicationTimeout)
    world = w
    if a[1] == "train" {
        try train(c, options: TrainOptions(resume: a.contains("--resume"), stopAt: a.contains("--stop-at") ? Int(a.last!) : nil), world: w)
    } else {
        let r = try bench(c, steps: 8, world: w)
        if w.isFirst { print(try! r.json) }
    }
    try w.leave()
} catch {
    print(error.lines.joined(separator: "\n"))
    world?.abort(code: error.exitCode)
    exit(error.exitCode)
}
