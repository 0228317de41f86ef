package import SwarmCore

/// A value that stands for an absent or null JSON member, as Go's zero values do.
///
/// The overloads below shadow the standard ones inside this module, so that synthesised decoding of a
/// non-optional member accepts `null` and absence: clients send many nulls (docker-py) and few members
/// (scripts).
protocol ZeroDecodable: Decodable {
    static var zeroValue: Self { get }
}

extension ObjectVersion: ZeroDecodable { static var zeroValue: ObjectVersion { ObjectVersion() } }
extension Timestamp: ZeroDecodable { package static var zeroValue: Timestamp { .zero } }
extension TaskState: ZeroDecodable { static var zeroValue: TaskState { .new } }
extension TaskSpec: ZeroDecodable { static var zeroValue: TaskSpec { TaskSpec() } }
extension TaskStatus: ZeroDecodable { static var zeroValue: TaskStatus { TaskStatus() } }
extension PortStatus: ZeroDecodable { static var zeroValue: PortStatus { PortStatus() } }
extension ServiceSpec: ZeroDecodable { static var zeroValue: ServiceSpec { ServiceSpec() } }
extension ServiceMode: ZeroDecodable { static var zeroValue: ServiceMode { ServiceMode() } }
extension EndpointSpec: ZeroDecodable { static var zeroValue: EndpointSpec { EndpointSpec() } }
extension Endpoint: ZeroDecodable { static var zeroValue: Endpoint { Endpoint() } }
extension NodeSpec: ZeroDecodable { static var zeroValue: NodeSpec { NodeSpec() } }
extension NodeStatus: ZeroDecodable { static var zeroValue: NodeStatus { NodeStatus() } }
extension NodeDescription: ZeroDecodable { static var zeroValue: NodeDescription { NodeDescription() } }
extension Platform: ZeroDecodable { static var zeroValue: Platform { Platform() } }
extension Resources: ZeroDecodable { static var zeroValue: Resources { Resources() } }
extension EngineDescription: ZeroDecodable { static var zeroValue: EngineDescription { EngineDescription() } }
extension TLSInfo: ZeroDecodable { static var zeroValue: TLSInfo { TLSInfo() } }
extension NetworkSpec: ZeroDecodable { static var zeroValue: NetworkSpec { NetworkSpec() } }
extension SecretSpec: ZeroDecodable { static var zeroValue: SecretSpec { SecretSpec() } }
extension ConfigSpec: ZeroDecodable { static var zeroValue: ConfigSpec { ConfigSpec() } }
extension ClusterSpec: ZeroDecodable { static var zeroValue: ClusterSpec { ClusterSpec() } }

extension KeyedDecodingContainer {
    func decode<Value: ZeroDecodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try decodeIfPresent(type, forKey: key) ?? Value.zeroValue
    }
    func decode(_ type: String.Type, forKey key: Key) throws -> String {
        try decodeIfPresent(type, forKey: key) ?? ""
    }
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool {
        try decodeIfPresent(type, forKey: key) ?? false
    }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int {
        try decodeIfPresent(type, forKey: key) ?? 0
    }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 {
        try decodeIfPresent(type, forKey: key) ?? 0
    }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 {
        try decodeIfPresent(type, forKey: key) ?? 0
    }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 {
        try decodeIfPresent(type, forKey: key) ?? 0
    }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double {
        try decodeIfPresent(type, forKey: key) ?? 0
    }
    func decode(_ type: [String: String].Type, forKey key: Key) throws -> [String: String] {
        try decodeIfPresent(type, forKey: key) ?? [:]
    }
}
