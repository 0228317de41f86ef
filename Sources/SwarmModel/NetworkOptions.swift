package import SwarmCore

/// Docker's options of overlay networks that mean something here.
extension NetworkSpec {
    private static let packetSizeKey = "com.docker.network.driver.mtu"
    private static let numbersKey = "com.docker.network.driver.overlay.vxlanid_list"
    /// From the least that every host of IPv4 takes with what a tunnel adds (RFC 791), in bytes.
    private static let packetSizes = 626...65_535
    /// VXLAN network identifiers have 24 bits (RFC 7348).
    private static let numbers = 1...UInt32(0xFF_FFFF)

    private func option(_ key: String) -> String? { driverConfiguration?.options?[key] }

    /// The underlay's packet size, in bytes, of which the network loses what the tunnel adds; the nearest that can be.
    package var askedPacketSize: Int? {
        option(Self.packetSizeKey).flatMap { Int($0) }.map {
            min(max($0, Self.packetSizes.lowerBound), Self.packetSizes.upperBound)
        }
    }

    /// The network's VXLAN identifier: Docker takes a list, one for each subnet, of which there is one here.
    package var askedVNI: UInt32? {
        option(Self.numbersKey)?.split(separator: ",").first.flatMap { UInt32($0) }
    }

    /// - Throws: `.invalidArgument` for a value that cannot be meant.
    package func validateOptions() throws(SwarmError) {
        if let text = option(Self.packetSizeKey), !(Int(text).map(Self.packetSizes.contains) ?? false) {
            let range = "\(Self.packetSizes.lowerBound) to \(Self.packetSizes.upperBound) bytes"
            throw SwarmError(
                .invalidArgument, "option \(Self.packetSizeKey)=\(text): must be a packet size of \(range)")
        }
        guard let text = option(Self.numbersKey) else { return }
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            if let number = UInt32(item), Self.numbers.contains(number) { continue }
            let range = "\(Self.numbers.lowerBound) to \(Self.numbers.upperBound)"
            throw SwarmError(
                .invalidArgument, "option \(Self.numbersKey)=\(text): must be numbers of \(range), separated by commas")
        }
    }
}
