// Protects one photo as `tsdf protect` does: protect PHOTO COPY [STEPS], in the folder of the repository.
import Foundation
import Kernels
import Pictures
import TSDF

let arguments = CommandLine.arguments
guard arguments.count >= 3 else {
  print("usage: protect PHOTO COPY [STEPS]")
  exit(64)
}
let (photo, copy) = (URL(fileURLWithPath: arguments[1]), URL(fileURLWithPath: arguments[2]))
var settings = ProtectionSettings.standard
if arguments.count > 3, let steps = Int(arguments[3]) { settings.refineSteps = steps }

let device = try selectDevice().device
let protector = try Protector(
  weights: URL(fileURLWithPath: "weights"), models: URL(fileURLWithPath: "models"), settings: settings, on: device)
let (data, result) = try protector.protect(ImageFile(contentsOf: photo))
try data.write(to: copy)
print("\(result.faceCount) faces, \(result.stillFound?.count ?? 0) still found, \(result.psnr) dB")
