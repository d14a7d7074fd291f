// swift-tools-version: 6.2
import PackageDescription

// Every public type says from which threads it may be used: it is Sendable, or its Sendable is unavailable, and then it
// belongs to one thread at a time, with its device.
let threading: [SwiftSetting] = [.treatWarning("ExplicitSendable", as: .error)]

// Paths of any bytes, and the system's calls on files.
let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

let package = Package(
  name: "TSDF",
  products: [
    .library(name: "Kernels", targets: ["Kernels"]),
    .library(name: "Pictures", targets: ["Pictures"]),
    .library(name: "Networks", targets: ["Networks"]),
    .library(name: "TSDF", targets: ["TSDF"]),
    .executable(name: "tsdf", targets: ["tsdf"]),
    // For tests and tools/measure-launches: a driver that does nothing.
    .library(name: "NullDriver", type: .dynamic, targets: ["NullDriver"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
    .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.0.0"),
  ],
  // Each target imports only those above it: docs/architecture.md has the drawing.
  targets: [
    // The OpenCL C API and, embedded, the text of kernels.cl.
    .target(name: "COpenCL", linkerSettings: [.linkedLibrary("OpenCL")]),
    // The CPU fallback's innermost loop, in several instruction sets.
    .target(name: "CMicrokernel"),
    // OpenSSL's libcrypto.
    .systemLibrary(name: "CCrypto", providers: [.apt(["libssl-dev"])]),
    .target(
      name: "Kernels",
      dependencies: [
        "COpenCL", "CMicrokernel", "CCrypto", systemPackage,
      ],
      swiftSettings: threading),
    // The picture libraries, some of which report errors by longjmp or exceptions, which Swift cannot unwind: thin fronts.
    .target(
      name: "CCodecs", cSettings: [.define("_GNU_SOURCE")], cxxSettings: [.define("_GNU_SOURCE")],
      linkerSettings: [
        "png16", "jpeg", "webp", "webpdemux", "webpmux", "tiff", "heif", "gif", "lcms2", "exiv2", "stdc++",
      ]
      .map { .linkedLibrary($0) }),
    .target(name: "Pictures", dependencies: ["Kernels", "CCodecs", systemPackage], swiftSettings: threading),
    .target(name: "Networks", dependencies: ["Pictures", "Kernels"], swiftSettings: threading),
    .target(
      name: "TSDF",
      dependencies: [
        "Networks", "Pictures", "Kernels", systemPackage, .product(name: "Mustache", package: "swift-mustache"),
      ],
      swiftSettings: threading),
    .executableTarget(
      name: "tsdf",
      dependencies: [
        "TSDF", "Networks", "Pictures", "Kernels", systemPackage,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Sources/CLI"),
    .target(
      name: "NullDriver", path: "Tests/NullDriver", cSettings: [.define("CL_TARGET_OPENCL_VERSION", to: "120")]),
    .target(name: "TestSupport", dependencies: ["Kernels", "Pictures"], path: "Tests/TestSupport"),
    .testTarget(name: "KernelsTests", dependencies: ["Kernels", "TestSupport", systemPackage]),
    .testTarget(name: "PicturesTests", dependencies: ["Pictures", "TestSupport", systemPackage]),
    .testTarget(name: "NetworksTests", dependencies: ["Networks", "Pictures", "TestSupport"]),
    .testTarget(name: "TSDFTests", dependencies: ["TSDF", "TestSupport", systemPackage]),
    .testTarget(name: "CLITests", dependencies: ["TSDF", "TestSupport", "tsdf"]),
  ],
  cxxLanguageStandard: .cxx14
)

// tools/fuzz builds the readers with libFuzzer, which only then is there to be linked.
if Context.environment["TSDF_FUZZ"] != nil {
  package.products.append(.executable(name: "fuzz", targets: ["fuzz"]))
  package.targets += [
    .target(name: "CFuzzer", path: "Tests/CFuzzer"),
    .executableTarget(
      name: "fuzz", dependencies: ["TSDF", "Networks", "Pictures", "Kernels", "TestSupport", "CFuzzer"],
      path: "Tests/Fuzz"),
  ]
}

// tools/make-docs writes the library's documentation.
if Context.environment["TSDF_DOCS"] != nil {
  package.dependencies.append(.package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.4.0"))
}
