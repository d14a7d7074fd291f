// swift-tools-version: 6.0
import PackageDescription

let language: [SwiftSetting] = [.swiftLanguageMode(.v5)]

let package = Package(
  name: "TSDF",
  products: [
    .library(name: "Kernels", targets: ["Kernels"]),
    .library(name: "TSDF", targets: ["TSDF"]),
    .executable(name: "tsdf", targets: ["tsdf"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-crypto", "3.0.0"..<"5.0.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
  ],
  targets: [
    // The OpenCL C API and, embedded, the text of kernels.cl.
    .target(name: "COpenCL", linkerSettings: [.linkedLibrary("OpenCL")]),
    // libpng and libjpeg-turbo report errors by longjmp, which Swift cannot unwind: thin C fronts.
    .target(name: "CPNG", linkerSettings: [.linkedLibrary("png16")]),
    .target(name: "CJPEG", linkerSettings: [.linkedLibrary("jpeg"), .linkedLibrary("exif")]),
    // The CPU fallback's innermost loop, in several instruction sets.
    .target(name: "CMicrokernel"),
    .target(
      name: "Kernels",
      dependencies: [
        "COpenCL", "CMicrokernel", .product(name: "Logging", package: "swift-log"),
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: language),
    .target(
      name: "TSDF",
      dependencies: [
        "Kernels", "CPNG", "CJPEG", .product(name: "Logging", package: "swift-log"),
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: language),
    .executableTarget(
      name: "tsdf",
      dependencies: ["TSDF", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      path: "Sources/CLI", swiftSettings: language),
    .target(name: "TestSupport", dependencies: ["Kernels"], path: "Tests/TestSupport", swiftSettings: language),
    .testTarget(name: "KernelsTests", dependencies: ["Kernels", "TSDF", "TestSupport"], swiftSettings: language),
    .testTarget(name: "TSDFTests", dependencies: ["TSDF", "TestSupport"], swiftSettings: language),
    .testTarget(name: "CLITests", dependencies: ["TSDF", "TestSupport", "tsdf"], swiftSettings: language),
  ]
)

// tools/fuzz builds the readers with libFuzzer, which only then is there to be linked.
if Context.environment["TSDF_FUZZ"] != nil {
  package.products.append(.executable(name: "fuzz", targets: ["fuzz"]))
  package.targets += [
    .target(name: "CFuzzer", path: "Tests/CFuzzer"),
    .executableTarget(
      name: "fuzz", dependencies: ["TSDF", "CFuzzer"], path: "Tests/Fuzz", swiftSettings: language),
  ]
}
