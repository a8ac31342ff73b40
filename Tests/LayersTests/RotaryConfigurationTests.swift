import Kernels
import Layers
import Testing

/// What transformers 5.24 (`LlamaRotaryEmbedding`, 64 features) has at some pairs and positions.
private struct Published: Sendable {
    let base: Double
    let scaling: RotaryConfiguration.Scaling
    /// Of pairs 0, 1, 7, 12, 14, 19 and 31.
    let frequencies: [Double]
    /// At the places below.
    let cosines: [Double]
    let sines: [Double]
}

private let pairs = [0, 1, 7, 12, 14, 19, 31]
private let places = [
    (1, 0), (8192, 0), (8191, 1), (8192, 7), (7001, 12), (8192, 14), (8192, 19), (5000, 31),
]

private let published = [
    Published(
        base: 10_000, scaling: .none,
        frequencies: [
            1.0, 0.7498942017555237, 0.1333521455526352, 0.03162277862429619, 0.017782794311642647,
            0.0042169648222625256, 0.0001333521504420787,
        ],
        cosines: [
            0.5403023362159729, 0.2928018271923065, -0.8420827984809875, 0.6573744416236877,
            0.09108813852071762, 0.3962302505970001, -0.9999262690544128, 0.7858290672302246,
        ],
        sines: [
            0.8414709568023682, -0.9561731815338135, -0.539348304271698, -0.7535641193389893,
            0.9958428144454956, 0.9181511998176575, 0.012143067084252834, 0.6184437274932861,
        ]),
    Published(
        base: 500_000, scaling: .none,
        frequencies: [
            1.0, 0.663601279258728, 0.05666961893439293, 0.00729266507551074, 0.0032114461064338684,
            0.0004132725589442998, 3.01385807688348e-06,
        ],
        cosines: [
            0.5403023362159729, 0.2928018271923065, 0.8237429857254028, 0.7529950737953186,
            0.7035157084465027, 0.38515064120292664, -0.9703948497772217, 0.9998864531517029,
        ],
        sines: [
            0.8414709568023682, -0.9561731815338135, 0.5669633746147156, -0.6580261588096619,
            0.7106797099113464, 0.9228537082672119, -0.2415241003036499, 0.0150687200948596,
        ]),
    Published(
        base: 10_000, scaling: .linear(factor: 2.5),
        frequencies: [
            0.4000000059604645, 0.2999576926231384, 0.0533408597111702, 0.012649111449718475,
            0.007113117724657059, 0.0016867859521880746, 5.3340860176831484e-05,
        ],
        cosines: [
            0.9210609793663025, -0.9929383993148804, 0.9741398096084595, -0.9591132998466492,
            0.8299196362495422, -0.15062090754508972, 0.3136327564716339, 0.964644730091095,
        ],
        sines: [
            0.389418363571167, -0.11863110214471817, 0.22594599425792694, -0.283022403717041,
            0.5578829646110535, 0.9885916113853455, 0.949544370174408, 0.2635536789894104,
        ]),
    Published(
        base: 10_000, scaling: .dynamic(factor: 2, original: 4096),
        frequencies: [
            1.0, 0.7237802743911743, 0.10405117273330688, 0.020667146891355515,
            0.010826647281646729, 0.0021504410542547703, 4.444348087417893e-05,
        ],
        cosines: [
            0.5403023362159729, 0.2928018271923065, -0.9556204676628113, -0.5271119475364685,
            0.9843010902404785, 0.7469720840454102, 0.33127403259277344, 0.9754111766815186,
        ],
        sines: [
            0.8414709568023682, -0.9561731815338135, -0.2946007251739502, -0.8497958779335022,
            0.17649757862091064, 0.664855420589447, -0.9435346126556396, 0.22039304673671722,
        ]),
    Published(
        base: 10_000, scaling: .yarn(.init(factor: 4, original: 2048)),
        frequencies: [
            1.0, 0.7498942017555237, 0.1333521455526352, 0.024325214326381683, 0.011627212166786194,
            0.0015408140607178211, 3.333803761051968e-05,
        ],
        cosines: [
            0.6152041554450989, 0.33339276909828186, -0.9588202834129333, 0.7485058903694153,
            0.9031099677085876, 0.6129580736160278, 1.1368459463119507, 1.122847318649292,
        ],
        sines: [
            0.9581236243247986, -1.0887268781661987, -0.6141178607940674, -0.8580302596092224,
            0.693447470664978, 0.9595621228218079, 0.06370510905981064, 0.18892061710357666,
        ]),
    Published(
        base: 500_000,
        scaling: .llama3(.init(factor: 8, lowFactor: 1, highFactor: 4, original: 1024)),
        frequencies: [
            1.0, 0.663601279258728, 0.05666961893439293, 0.0013125694822520018,
            0.00040143076330423355, 5.165906986803748e-05, 3.76732259610435e-07,
        ],
        cosines: [
            0.5403023362159729, 0.2928018271923065, 0.8237429857254028, 0.7529950737953186,
            -0.9724026322364807, -0.989225447177887, 0.9117830991744995, 0.9999982118606567,
        ],
        sines: [
            0.8414709568023682, -0.9561731815338135, 0.5669633746147156, -0.6580261588096619,
            0.23330911993980408, -0.1464000791311264, 0.410672128200531, 0.0018836600938811898,
        ]),
]

@Suite struct RotaryConfigurationTests {
    @Test(arguments: published)
    fileprivate func agreesWithTransformers(expected: Published) {
        let configuration = RotaryConfiguration(
            base: expected.base, rotaryDimension: 64, scaling: expected.scaling)
        let frequencies = configuration.frequencies(positions: 8193)
        #expect(frequencies.count == 32)
        func near(_ found: [Float], _ expected: [Double], absolute: Double, relative: Double)
            -> Bool
        {
            zip(found, expected).allSatisfy {
                abs(Double($0) - $1) <= absolute + relative * abs($1)
            }
        }
        let found = pairs.map { frequencies[$0] }
        #expect(near(found, expected.frequencies, absolute: 0, relative: 2e-7))
        let table = configuration.table(positions: 8193)
        let (cosines, sines) = (table.cosines.array, table.sines.array)
        func at(_ table: [Float], later: Int = 0) -> [Float] {
            places.map { table[($0.0 - later) * 32 + $0.1] }
        }
        #expect(table.positionCount == 8193 && table.rotaryDimension == 64)
        #expect(near(at(cosines), expected.cosines, absolute: 1e-6, relative: 0))
        #expect(near(at(sines), expected.sines, absolute: 1e-6, relative: 0))
        // Controls: the other function; a position before; another scaling.
        #expect(!near(at(sines), expected.cosines, absolute: 1e-6, relative: 0))
        #expect(!near(at(cosines, later: 1), expected.cosines, absolute: 1e-6, relative: 0))
        let others = published.filter { $0.scaling != expected.scaling || $0.base != expected.base }
        for other in others {
            #expect(!near(found, other.frequencies, absolute: 0, relative: 2e-7))
        }
    }

    @Test func factorsFollowTheirFormulas() {
        func factor(_ change: (inout RotaryConfiguration.YaRN) -> Void) -> Double {
            var yarn = RotaryConfiguration.YaRN(factor: 4, original: 2048)
            change(&yarn)
            return RotaryConfiguration(rotaryDimension: 8, scaling: .yarn(yarn)).attentionFactor
        }
        #expect(abs(factor { _ in } - 1.138629436111989) < 1e-12)
        #expect(factor { $0.factor = 1 } == 1)
        #expect(factor { $0.attentionFactor = 0.5 } == 0.5)
        #expect(factor { ($0.scale, $0.scaleOfAll) = (0.7, 0.7) } == 1)
        #expect(
            abs(
                factor { ($0.scale, $0.scaleOfAll) = (1, 0.5) } - 1.138629436111989
                    / 1.0693147180559945)
                < 1e-12)
    }

    /// Below the original length dynamic scaling does nothing.
    @Test func shortContextsAreNotScaled() {
        let plain = RotaryConfiguration(rotaryDimension: 16)
        var dynamic = plain
        dynamic.scaling = .dynamic(factor: 2, original: 64)
        #expect(dynamic.frequencies(positions: 64) == plain.frequencies(positions: 64))
        #expect(dynamic.frequencies(positions: 65) != plain.frequencies(positions: 65))
    }
}
