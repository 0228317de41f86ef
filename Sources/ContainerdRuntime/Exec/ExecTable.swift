import Ports
import SwarmCore

/// The execs of this node's containers: in memory only, as in Docker.
struct ExecTable: Sendable {
    struct Entry: Sendable {
        var info: ExecInfo
        var session: ExecSession?
        var hasStarted = false
        var number: Int
    }

    /// Execs of one container at once, ended ones that nobody asked about included.
    static let perContainerMax = 256

    private var entries: [String: Entry] = [:]
    private var next = 0

    subscript(id: String) -> Entry? {
        get { entries[id] }
        set { entries[id] = newValue }
    }

    /// Adds a created exec; when the container has its full number, the oldest that is not running goes.
    mutating func add(_ info: ExecInfo) throws(SwarmError) {
        let own = entries.values.filter { $0.info.containerID == info.containerID }
        if own.count >= Self.perContainerMax {
            guard
                let oldest = own.filter({ !$0.info.isRunning && ($0.session == nil) }).min(by: {
                    $0.number < $1.number
                })
            else {
                throw SwarmError(
                    .resourceExhausted,
                    "container \(info.containerID) has \(Self.perContainerMax) running execs; wait for one to end")
            }
            entries[oldest.info.id] = nil
        }
        next += 1
        entries[info.id] = Entry(info: info, number: next)
    }

    /// Forgets a container's execs.
    /// - Returns: the sessions that were open.
    mutating func removeAll(of containerID: String) -> [ExecSession] {
        let own = entries.values.filter { $0.info.containerID == containerID }
        for entry in own { entries[entry.info.id] = nil }
        return own.compactMap(\.session)
    }

    func isRunning(in containerID: String) -> Bool {
        entries.values.contains { $0.info.containerID == containerID && $0.info.isRunning }
    }

    func identifiers(of containerID: String) -> [String] {
        entries.values.filter { $0.info.containerID == containerID && ($0.info.isRunning || !$0.hasStarted) }
            .sorted { $0.number < $1.number }.map(\.info.id)
    }
}
