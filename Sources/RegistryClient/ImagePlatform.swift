package import SwarmCore

/// An operating system and processor as indexes name them, such as `linux/arm/v7`.
package struct ImagePlatform: Sendable, Hashable, Codable, CustomStringConvertible {
    package var architecture: String
    package var os: String
    package var variant: String?

    package init(os: String, architecture: String, variant: String? = nil) {
        (self.os, self.architecture, self.variant) = (os, architecture, variant)
    }

    /// What this program runs on.
    package static var host: ImagePlatform {
        #if arch(arm64)
            ImagePlatform(os: "linux", architecture: "arm64")
        #else
            ImagePlatform(os: "linux", architecture: "amd64")
        #endif
    }

    package var description: String {
        variant.flatMap { $0.isEmpty ? nil : "\(os)/\(architecture)/\($0)" } ?? "\(os)/\(architecture)"
    }

    /// The image of `index` that runs on this platform: its own variant before older ones, the first among equals.
    package func choose(from index: ImageIndex, name: String) throws(SwarmError) -> BlobDescriptor {
        var best: (level: Int, descriptor: BlobDescriptor)?
        for candidate in index.manifests {
            // An index of one image need not name the platform.
            guard let platform = candidate.platform else {
                if index.manifests.count == 1 { return candidate }
                continue
            }
            guard let level = level(of: platform), level > best?.level ?? -1 else { continue }
            best = (level, candidate)
        }
        guard let best else {
            throw SwarmError(
                .failedPrecondition, "no matching manifest for \(self) in the manifest list entries of \(name)")
        }
        return best.descriptor
    }

    /// How well an image for `other` runs here: nil when it does not run, more is better.
    private func level(of other: ImagePlatform) -> Int? {
        let (here, there) = (normalized, other.normalized)
        guard here.os == there.os, here.architecture == there.architecture else { return nil }
        let (mine, theirs) = (Self.number(here.variant), Self.number(there.variant))
        return theirs <= mine ? theirs : nil
    }

    /// One spelling for each processor; a variant that is the architecture's baseline is spelled out.
    private var normalized: ImagePlatform {
        var result = ImagePlatform(
            os: os.lowercased(), architecture: architecture.lowercased(), variant: variant?.lowercased())
        switch result.architecture {
        case "x86_64", "x86-64": result.architecture = "amd64"
        case "aarch64": result.architecture = "arm64"
        case "armhf": (result.architecture, result.variant) = ("arm", "v7")
        case "armel": (result.architecture, result.variant) = ("arm", "v6")
        case "i386", "i686": result.architecture = "386"
        default: break
        }
        if result.variant ?? "" == "" {
            result.variant = ["amd64": "v1", "arm64": "v8", "arm": "v7"][result.architecture] ?? "v0"
        }
        return result
    }

    /// 7 for `v7`; a variant without a number is beyond every processor.
    private static func number(_ variant: String?) -> Int {
        guard let variant, variant.hasPrefix("v") else { return Int.max }
        return Int(variant.dropFirst().prefix { $0.isNumber }) ?? Int.max
    }
}
