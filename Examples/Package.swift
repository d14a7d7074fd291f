// swift-tools-version: 6.2
import PackageDescription

// What docs and README show of the library, as programs: `swift run --package-path Examples gradient`.
let package = Package(
  name: "Examples",
  dependencies: [.package(name: "TSDF", path: "..")],
  targets: [
    .executableTarget(
      name: "gradient", dependencies: [.product(name: "Kernels", package: "TSDF")], path: "Sources/Gradient"),
    .executableTarget(
      name: "protect",
      dependencies: ["Kernels", "Pictures", "TSDF"].map { .product(name: $0, package: "TSDF") }, path: "Sources/Protect"
    ),
  ]
)
