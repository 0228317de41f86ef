import ClusterSecurity
import ContainerdRuntime
import Logging
import Ports
import Store
package import SwarmCore
import SwarmModel
import SwarmNode

/// Autolock: a manager's keys on disk are sealed, and whoever restarts it must know the key.
extension NodeDriver {
    package func unlock(_ text: String) async throws(SwarmError) {
        try beginChange()
        defer { isChangingSwarm = false }
        guard isLocked, let record = try NodeRecord.load(from: paths.record) else {
            throw SwarmError(.conflict, machine == nil ? SwarmText.notMember : "swarm is not locked")
        }
        let (key, identity): (UnlockKey, NodeIdentity)
        do throws(SwarmError) {
            key = try UnlockKey(text)
            identity = try IdentityStore(directory: paths.certificates).load(unlockKey: key)
        } catch {
            throw SwarmError(error.code, "swarm could not be unlocked: \(error.message)", cause: error.cause)
        }
        isLocked = false
        do throws(SwarmError) {
            try await takeUp(record, identity, unlockKey: key)
        } catch {
            await suspendSwarm()
            isLocked = true
            throw error
        }
    }

    package func unlockKey() async throws(SwarmError) -> String { try await read().cluster?.unlockKey ?? "" }

    /// Seals this node's keys as the swarm wants them: under its unlock key while this node is a manager, else not.
    func keepUnlockKey() {
        // Whoever changes this node's swarm writes its identity, and only when the change has come about.
        guard let machine, let swarm, !isChangingSwarm else { return }
        var version = swarm.record.unlockVersion ?? 0
        var wanted: String?
        if machine.isManager, let cluster = machine.store.cluster {
            guard cluster.version.index >= version else { return }
            (wanted, version) = (cluster.unlockKey, cluster.version.index)
        } else if machine.isManager || swarm.identity.principal.role == .manager {
            // Not caught up yet, or not demoted in its own certificate.
            return
        }
        guard wanted != swarm.unlockKey?.text else { return }
        do throws(SwarmError) {
            let key: UnlockKey? = if let wanted { try UnlockKey(wanted) } else { nil }
            try IdentityStore(directory: paths.certificates).save(swarm.identity, unlockKey: key)
            self.swarm?.unlockKey = key
            self.swarm?.record.unlockVersion = version
            saveRecord()
            logger.info("this node's keys are \(key == nil ? "no longer locked" : "locked with the unlock key")")
        } catch {
            let words = "this manager's keys cannot be locked anew; it is tried again"
            logger.error("\(words)", metadata: ["error": "\(error)"])
        }
    }

    /// `swarm leave --force` of a locked manager: nobody can stop its tasks in order, since nobody knows them.
    func leaveLocked() async throws(SwarmError) -> ControlResponse {
        try beginChange()
        defer { isChangingSwarm = false }
        for info in try await service.containers() { try await service.remove(info.id, force: true) }
        await forgetSwarm()
        return .done
    }
}
