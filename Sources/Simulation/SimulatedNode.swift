import Consensus
import Dispatching
import Overlay
import Ports
import SwarmCore
import SwarmNode

/// One machine: its daemon, its disk, its containers and its clocks.
struct SimulatedNode {
    struct Container {
        var info: ContainerInfo
        var task: String
    }
    let index: Int
    let id: String
    var machine: NodeMachine?
    /// Counts starts of the daemon; what was meant for an earlier one is dropped.
    var boot = 0
    var isMember = false
    var isRemoved = false
    /// It said farewell; its entry in the store is for somebody to remove.
    var hasLeft = false
    /// Counts changes of its address.
    var moves = 0
    var epoch: UInt64 = 0
    var isForced = false
    /// Counts erasures of the log: answers of the disk to what was written before are dropped.
    var diskGeneration = 0
    var disk = RecoveredState()
    var pending: [LogBatch] = []
    var diskBusyUntil: Int64 = 0
    var isDiskSlow = false
    /// The agent's file, and what is not in it yet.
    var held: HeldAssignment?
    var unsaved: HeldAssignment?
    /// What the machine has not taken yet; a crash loses it.
    var arrived: [NodeEvent] = []
    var containers: [String: Container] = [:]
    var networking = DesiredNetworking()
    var managers: [String] = []
    var pausedUntil: Int64 = 0
    /// Added to virtual time for the wall clock.
    var skew: Int64 = 0
    var wakeAt: Int64 = .max
    var wakes: (second: Int64, count: Int) = (0, 0)
    /// The last moment at which a fault touched the node.
    var troubledAt: Int64 = 0

    init(index: Int) { (self.index, id) = (index, "node-\(index)") }

    var isUp: Bool { machine != nil }

    /// What a batch does to the disk; entries that a snapshot covers already stay away.
    mutating func write(_ batch: LogBatch) {
        if let state = batch.hardState { disk.hardState = state }
        if let snapshot = batch.snapshot, snapshot.index > disk.snapshotIndex {
            (disk.snapshot, disk.snapshotIndex, disk.snapshotTerm) = (
                snapshot.image, snapshot.index, snapshot.term
            )
            disk.configuration = snapshot.configuration
            disk.entries.removeAll { $0.index <= snapshot.index }
        }
        if let first = batch.truncateFrom { disk.entries.removeAll { $0.index >= first } }
        disk.entries += batch.entries.filter { $0.index > disk.snapshotIndex }
    }

    mutating func save(image: [UInt8], index: LogIndex, term: Term, _ configuration: ClusterConfiguration) {
        guard index > disk.snapshotIndex else { return }
        (disk.snapshot, disk.snapshotIndex, disk.snapshotTerm) = (image, index, term)
        disk.configuration = configuration
        disk.entries.removeAll { $0.index <= index }
    }
}
