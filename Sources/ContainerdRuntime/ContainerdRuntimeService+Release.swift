import ContainerdAPI
import FoundationEssentials
import GRPCCore
import Glibc
import Logging
import SwarmCore
import SwiftProtobuf

/// Freeing what containers hold that run no more, and what tasks hold that were never finished.
extension ContainerdRuntimeService {
    /// Deletes the tasks of ended containers in containerd: each holds a shim process, a mount and a control group,
    /// which nobody needs once the exit is written down. The container's record, log and snapshot stay.
    ///
    /// One after another, so that a thousand exits at once do not keep containerd from what matters more.
    func releaseEndedTasks() {
        guard !isReleasing, endedTasks.contains(where: { isReleasable($0) }) else { return }
        isReleasing = true
        Task {
            // Each once: what fails waits for the next beat.
            var tried: Set<String> = []
            while let id = self.endedTasks.subtracting(tried).filter({ self.isReleasable($0) }).min() {
                tried.insert(id)
                await self.releaseTask(of: id)
            }
            self.isReleasing = false
        }
    }

    /// Not while somebody still asks containerd about the task or one of its processes.
    private func isReleasable(_ id: String) -> Bool {
        records[id]?.finishedAt != nil && !starting.contains(id) && withdrawing[id] == nil
            && !execs.isRunning(in: id)
    }

    func releaseTask(of id: String) async {
        if unwrittenExits.contains(id) {
            do throws(SwarmError) {
                try records[id]?.write(to: directory(of: id) + "/record.json")
                unwrittenExits.remove(id)
            } catch { return }
        }
        withdrawing[id, default: 0] += 1
        defer { endWithdrawal(of: id) }
        let isReleased = await isGone(id, "Tasks.Delete") {
            _ = try await client.tasks.delete(.with { $0.containerID = id }, options: ContainerdClient.slow)
        }
        if isReleased { endedTasks.remove(id) }
    }

    func endWithdrawal(of id: String) {
        let left = withdrawing[id, default: 1] - 1
        withdrawing[id] = left == 0 ? nil : left
    }

    /// Ends the shims that containerd has forgotten.
    ///
    /// When swarmd is killed, containerd gives up the tasks it was creating for it and cleans up after them, but their
    /// shims stay, as children of init, and nothing in containerd ever names them again.
    func endOrphanedShims() async {
        guard let socket = FileIdentity(supervisor?.socket ?? configuration.containerdSocket ?? "") else {
            return
        }
        // In this order: a task that is made or deleted meanwhile is either in containerd's answer or left alone.
        let underWay = creating.union(withdrawing.keys)
        let suspects = ShimProcess.all().filter {
            $0.namespace == client.namespace && mayBeOrphan($0.id) && !underWay.contains($0.id)
                && $0.containerd == socket
        }
        guard !suspects.isEmpty, let known = try? await processes() else { return }
        for shim in suspects where known[shim.id] == nil && mayBeOrphan(shim.id) {
            logger.info(
                "ending a shim that containerd has forgotten",
                metadata: ["container.id": "\(shim.id)", "process.id": "\(shim.pid)"])
            shim.end()
        }
    }

    private func mayBeOrphan(_ id: String) -> Bool {
        guard Self.isContainerIdentifier(id), !creating.contains(id), withdrawing[id] == nil else {
            return false
        }
        guard let record = records[id] else { return true }
        return record.finishedAt != nil
    }
}
