import NameService
import SwarmCore

/// A query as a client writes it.
func query(
    _ name: String, type: UInt16 = Question.a, id: UInt16 = 0x1234, payload: UInt16? = nil, flags: UInt16 = 0x0100
) -> [UInt8] {
    var bytes: [UInt8] = [UInt8(id >> 8), UInt8(id & 255), UInt8(flags >> 8), UInt8(flags & 255), 0, 1, 0, 0, 0, 0, 0, 0]
    bytes[11] = payload == nil ? 0 : 1
    for label in name.split(separator: ".") { bytes += [UInt8(label.utf8.count)] + Array(label.utf8) }
    bytes += [0, UInt8(type >> 8), UInt8(type & 255), 0, 1]
    if let payload { bytes += [0, 0, 41, UInt8(payload >> 8), UInt8(payload & 255), 0, 0, 0, 0, 0, 0] }
    return bytes
}

/// What a test wants to know of a reply.
struct Reply {
    var code: ResponseCode?
    var isTruncated: Bool
    var addresses: [String]
    var names: [String]
    var timeToLive: UInt32?
    var id: UInt16

    init?(_ bytes: [UInt8]) {
        var reader = MessageReader(bytes)
        guard let (message, records) = try? reader.message() else { return nil }
        (code, isTruncated, id) = (message.code, message.isTruncated, message.id)
        addresses = records.filter { $0.type == Question.a }.map { record in
            bytes[record.dataOffset..<(record.dataOffset + 4)].map(String.init).joined(separator: ".")
        }
        names = records.filter { $0.type == Question.ptr }.map { record in
            var text = ""
            var index = record.dataOffset
            while bytes[index] != 0 {
                let end = index + 1 + Int(bytes[index])
                text += String(decoding: bytes[(index + 1)..<end], as: UTF8.self) + "."
                index = end
            }
            return text
        }
        timeToLive = records.first { $0.type != Question.opt }?.timeToLive
    }
}

func address(_ text: String) -> IPv4Address { IPv4Address(text) ?? IPv4Address(0) }

/// A network `app` with a balanced service of `replicas`, a round-robin one, one without tasks, and a network `db`.
func directory(replicas: Int = 3) -> ServiceDirectory {
    let web = (1...replicas).map { slot in
        EndpointRecord(
            address: IPv4Address(10 << 24 | 1 << 8 | UInt32(slot + 10)), taskName: "web.\(slot)",
            containerName: "web.\(slot).task\(slot)", containerID: "c0ffee00000\(slot)aaaaaaaa")
    }
    let api = [
        EndpointRecord(
            address: address("10.0.1.200"), taskName: "api.1", containerName: "api.1.t", containerID: "aa", aliases: ["apihost"]),
        EndpointRecord(address: address("10.0.1.201"), taskName: "api.2", containerName: "api.2.t", containerID: "bb"),
    ]
    let app = NetworkZone(
        id: "net1", name: "app",
        services: [
            ServiceRecord(name: "web", aliases: ["www"], virtualIP: address("10.0.1.2"), endpoints: web),
            ServiceRecord(name: "api", endpoints: api), ServiceRecord(name: "idle"),
            ServiceRecord(name: "down", virtualIP: address("10.0.1.3")),
        ])
    let db = NetworkZone(
        id: "net2", name: "db", isInternal: true,
        services: [
            ServiceRecord(
                name: "web", virtualIP: address("10.0.2.2"),
                endpoints: [
                    EndpointRecord(
                        address: address("10.0.2.9"), taskName: "web.1", containerName: "web.1.task1", containerID: "cc")
                ])
        ])
    return ServiceDirectory(networks: ["net1": app, "net2": db])
}
