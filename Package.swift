// swift-tools-version: 6.1
// The architecture, in dependency order: a target may import only what stands above it.
import PackageDescription

/// Release only: under `-Ounchecked` a failed precondition is undefined, so debug builds keep the checks.
let kernelFlags = ["-Ounchecked", "-Xcc", "-fno-math-errno"]  // a square root is an instruction

/// Kernels for one set of instructions.
func kernelSettings(_ instructions: String...) -> [SwiftSetting] {
    var flags = kernelFlags
    #if arch(x86_64)
        flags += instructions.flatMap { ["-Xcc", $0] }
    #endif
    return [.unsafeFlags(flags, .when(configuration: .release))]
}

let argumentParser = Target.Dependency.product(
    name: "ArgumentParser", package: "swift-argument-parser")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
    name: "murmuration",
    products: [.executable(name: "murmur", targets: ["murmur"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // 0: system libraries
        .systemLibrary(name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
        .systemLibrary(
            name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),

        .systemLibrary(
            name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),

        .systemLibrary(name: "CTiles"),

        .systemLibrary(
            name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),

        .systemLibrary(
            name: "CImages", pkgConfig: "libpng",
            providers: [.apt(["libpng-dev", "libturbojpeg0-dev"])]),

        .systemLibrary(
            name: "CCompression", pkgConfig: "zlib",
            providers: [.apt(["zlib1g-dev", "libzstd-dev", "liblzma-dev"])]),

        // 1: arithmetic on pointers; what files are made of; keys and values; texts and images; a search without a model,
        // and how good texts are
        .target(
            name: "KernelSupport", dependencies: ["COpenBLAS", "CTiles"],
            swiftSettings: kernelSettings()),
        // One folder, `VectorKernels`, compiled twice.
        .target(
            name: "KernelsAVX2", dependencies: ["KernelSupport"],
            swiftSettings: kernelSettings("-march=haswell")),
        .target(
            name: "KernelsAVX512", dependencies: ["KernelSupport"],
            swiftSettings: kernelSettings(
                "-march=skylake-avx512", "-mprefer-vector-width=512")),
        .target(
            name: "Kernels", dependencies: ["KernelSupport", "KernelsAVX2", "KernelsAVX512"]),
        .target(name: "Files", dependencies: ["CCrypto"]),
        .target(name: "Configuration", dependencies: ["Files"]),
        .target(name: "Tokenizers", dependencies: ["Files", "CPCRE2"]),
        .target(name: "Datasets", dependencies: ["Tokenizers", "Files", "CImages"]),
        .target(
            name: "Preparation",
            dependencies: ["Datasets", "Tokenizers", "Configuration", "Files", "CCompression"]),
        .target(name: "BeamSearch"),
        .target(name: "Metrics"),

        // 2: tensors, the tape, primitive operations
        .target(name: "Tensors", dependencies: ["Kernels"]),

        // 3: what models are made of; how ranks talk
        .target(name: "Layers", dependencies: ["Tensors"]),
        .target(name: "Communication", dependencies: ["CMPI", "Tensors"]),

        // 4: models, optimizers, checkpoints
        .target(name: "Models", dependencies: ["Layers", "Configuration", "Files"]),
        .target(name: "Optimizers", dependencies: ["Layers", "Kernels"]),
        .target(name: "Checkpointing", dependencies: ["Layers", "Communication", "Files"]),

        // 5: texts from a model; parallelism, applied to a finished one
        .target(name: "Decoding", dependencies: ["Models", "BeamSearch"]),
        .target(name: "Parallelism", dependencies: ["Models", "Optimizers", "Communication"]),

        // 6: a run
        .target(
            name: "Training",
            dependencies: [
                "Parallelism", "Decoding", "BeamSearch", "Metrics", "Checkpointing", "Preparation",
                "Datasets", "Files", yams,
            ]),

        // 7: the command line
        .executableTarget(
            name: "murmur",
            dependencies: [
                "Training", "BeamSearch", "Metrics", "Preparation", "Tokenizers", "Files",
                argumentParser,
            ]),

        // Tests mirror sources; Support starts programs for them.
        .target(name: "TestSupport", path: "Tests/Support"),
        .testTarget(name: "KernelsTests", dependencies: ["Kernels", "TestSupport"]),
        .testTarget(name: "FilesTests", dependencies: ["Files"]),
        .testTarget(name: "TokenizersTests", dependencies: ["Tokenizers"]),
        .testTarget(name: "DatasetsTests", dependencies: ["Datasets"]),
        .testTarget(name: "PreparationTests", dependencies: ["Preparation", "TestSupport"]),
        .testTarget(
            name: "BeamSearchTests", dependencies: ["BeamSearch"], exclude: ["Fixtures"]),
        .testTarget(name: "MetricsTests", dependencies: ["Metrics"], exclude: ["Fixtures"]),
        .testTarget(name: "TensorsTests", dependencies: ["Tensors"]),
        .testTarget(
            name: "ModelsTests", dependencies: ["Parallelism", "Decoding", "Checkpointing"]),
        .testTarget(name: "LayersTests", dependencies: ["Layers"]),
        .executableTarget(
            name: "RankTests", dependencies: ["Communication"], path: "Tests/RankTests"),
        .testTarget(
            name: "CommunicationTests",
            dependencies: ["Communication", "RankTests", "TestSupport"]),
        .testTarget(name: "OptimizersTests", dependencies: ["Optimizers"]),
        .testTarget(name: "ParallelismTests", dependencies: ["Parallelism", "Training"]),
        .testTarget(name: "CheckpointingTests", dependencies: ["Checkpointing", "TestSupport"]),
        .testTarget(
            name: "TrainingTests",
            dependencies: ["murmur", "Training", "Preparation", "Datasets", "TestSupport"]),
        // Runs a program and kills it at a call that changes files.
        .executableTarget(name: "FileCalls", path: "Tests/FileCalls"),
        // Faults of disks and processes, by the thousand: launch/chaos; a few of each with all tests.
        .testTarget(
            name: "ChaosTests",
            dependencies: [
                "murmur", "FileCalls", "Training", "Checkpointing", "Datasets", "TestSupport",
            ]),
    ],
    swiftLanguageModes: [.v6]
)
