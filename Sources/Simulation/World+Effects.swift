import Consensus
import Execution
import Membership
import Ports
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// The interpreter of effects: a disk, a network, a runtime and a kernel made of numbers.
extension World {
    mutating func perform(_ effect: NodeEffect, of node: Int) throws(Violation) {
        let boot = nodes[node].boot
        switch effect {
        case .persist(let batch): write(batch, of: node)
        case .plan(let store, let facts, let seed):
            let (_, time) = clocks(of: node)
            var result = Planner.plan(store, at: time, facts: facts, seed: seed)
            spoil(&result)
            schedule(.event(node: node, boot: boot, .planned(result)), after: milliseconds(planMilliseconds))
        case .saveSnapshot(let store, let index, let term, let configuration):
            let image = codec.encode(StoreImage(store))
            nodes[node].save(image: image, index: index, term: term, configuration)
            schedule(
                .event(node: node, boot: boot, .snapshotSaved(index: index, image: image)),
                after: milliseconds(1...20))
        case .respond(let ticket, let result):
            note("\(nodes[node].id) answers \(ticket): \(describe(result))")
            try clients.answered(ticket, by: node, result, checker)
            if let joined = clients.takeJoined(ticket) { admit(joined) }
        case .readable(let ticket, let result):
            if case .success = result { clients.readsServed += 1 }
            try checker.checkRead(clients.takeRead(ticket), result)
        case .committed: break
        case .agent(let effect): try perform(effect, of: node)
        case .send(let message, let route): send(message, from: node, to: route)
        case .gossip(let effect): gossip(effect, of: node)
        case .askHost(let id, _):
            // A paused daemon's kernel answers; a node that is down here has lost its machine.
            guard let target = nodes.firstIndex(where: { $0.id == id }), nodes[target].isUp,
                let there = network.delays(node, target, loss: 0, mayDouble: false, using: &generator).first,
                let back = network.delays(target, node, loss: 0, mayDouble: false, using: &generator).first
            else { return }
            schedule(.event(node: node, boot: nodes[node].boot, .hostAnswered(id)), after: there + back)
        case .eraseLog(let epoch):
            note("\(nodes[node].id) erases its log for epoch \(epoch)")
            nodes[node].epoch = epoch
            (nodes[node].disk, nodes[node].pending) = (RecoveredState(), [])
            nodes[node].diskGeneration += 1
        case .removedFromCluster:
            note("\(nodes[node].id) is no longer of the cluster")
            (nodes[node].isRemoved, nodes[node].containers, nodes[node].held) = (true, [:], nil)
            crash(node)
        case .fatal(let error): throw Violation(text: "\(nodes[node].id) cannot go on: \(error)")
        }
    }

    private mutating func admit(_ node: Int) {
        guard !nodes[node].isMember else { return }
        nodes[node].isMember = true
        start(node)
    }

    private mutating func write(_ batch: LogBatch, of node: Int) {
        nodes[node].pending.append(batch)
        let duration = nodes[node].isDiskSlow ? milliseconds(50...400) : milliseconds(0...4)
        let done = max(nodes[node].diskBusyUntil, now) + duration
        nodes[node].diskBusyUntil = done
        agenda.add(
            .written(
                node: node, boot: nodes[node].boot, generation: nodes[node].diskGeneration,
                sequence: batch.sequence),
            at: Instant(nanoseconds: done))
    }

    private mutating func send(_ message: PeerMessage, from node: Int, to route: PeerRoute) {
        guard let target = index(of: route.nodeID), nodes.indices.contains(target) else { return }
        // A call is one stream: it arrives once or never.
        let isCall: Bool
        switch message {
        case .request, .ask, .answer, .refused: isCall = true
        case .raft, .toManager, .toAgent: isCall = false
        }
        let delays = network.delays(
            node, target, loss: network.messageLoss, mayDouble: !isCall, using: &generator)
        for delay in delays { schedule(.peer(message, from: node, to: target), after: delay) }
    }

    private mutating func gossip(_ effect: MembershipEffect, of node: Int) {
        let boot = nodes[node].boot
        switch effect {
        case .send(let datagram, let address):
            guard let target = index(of: address), nodes.indices.contains(target) else { return }
            let delays = network.delays(
                node, target, loss: network.datagramLoss, mayDouble: true, using: &generator)
            for delay in delays { schedule(.datagram(datagram, from: node, to: target), after: delay) }
        case .openExchange(let ticket, let address, let state):
            guard let target = index(of: address), nodes.indices.contains(target), nodes[target].isUp,
                let delay = network.delays(node, target, loss: 0, mayDouble: false, using: &generator).first
            else {
                schedule(
                    .event(node: node, boot: boot, .gossip(.exchangeFailed(ticket: ticket))),
                    after: 200_000_000)
                return
            }
            schedule(.exchange(state, ticket: ticket, from: node, to: target, boot: boot), after: delay)
        case .answerExchange(let ticket, let state):
            guard let open = openExchanges.removeValue(forKey: ticket),
                let delay = network.delays(node, open.from, loss: 0, mayDouble: false, using: &generator)
                    .first
            else { return }
            schedule(
                .exchangeAnswer(state, ticket: open.ticket, from: node, to: open.from, boot: open.boot),
                after: delay)
        case .openStreamPing(let sequence, let target, let address):
            guard let other = index(of: address), nodes.indices.contains(other),
                let delay = network.delays(node, other, loss: 0, mayDouble: false, using: &generator).first,
                !network.isCut(other, node)
            else { return }
            schedule(
                .streamPing(sequence: sequence, from: node, to: other, boot: boot, target: target),
                after: delay)
        case .answerStreamPing, .memberAlive, .memberSuspect, .memberDead, .memberLeft, .memberUpdated,
            .identityContested, .senderDoubted, .departureDenied, .leftCluster:
            break
        }
    }

    // MARK: Runtime

    private mutating func perform(_ effect: AgentEffect, of node: Int) throws(Violation) {
        let boot = nodes[node].boot
        func answer(_ task: ObjectID, _ event: TaskEvent) -> Happening {
            .event(node: node, boot: boot, .agent(.task(task, event)))
        }
        let failures = isCalm ? 0 : runtimeFailures
        switch effect {
        case .ensureImage(let task, _, _):
            let failed = chance(failures)
            schedule(
                answer(task, failed ? .failed(.ensureImage, "the registry does not answer") : .imageReady),
                after: milliseconds(5...300))
        case .createContainer(let task, let request):
            let (_, time) = clocks(of: node)
            let info = ContainerInfo(
                id: request.id, name: request.name, image: request.image, imageID: "", labels: request.labels,
                state: .created, createdAt: time)
            nodes[node].containers[request.id] = SimulatedNode.Container(info: info, task: task)
            schedule(answer(task, .created), after: milliseconds(5...60))
        case .startContainer(let task, let id):
            if chance(failures) {
                schedule(answer(task, .failed(.startContainer, "no such file")), after: milliseconds(5...50))
            } else {
                nodes[node].containers[id]?.info.state = .running
                nodes[node].containers[id]?.info.pid = 4711
                schedule(answer(task, .started(pid: 4711)), after: milliseconds(5...50))
                if plan.isVaried { live(task, id, on: node) }
            }
        case .stopContainer(let task, let id, _):
            try checker.checkStop(of: task, id, on: nodes[node], now)
            guard nodes[node].containers[id]?.info.state == .running else { break }
            nodes[node].containers[id]?.info.state = .exited
            nodes[node].containers[id]?.info.exitCode = 143
            let delay = milliseconds(5...200)
            let (_, time) = clocks(of: node)
            schedule(
                .event(
                    node: node, boot: boot,
                    .agent(.container(.exited(containerID: id, exitCode: 143, oomKilled: false, at: time)))),
                after: delay)
            schedule(answer(task, .stopped), after: delay + 1_000_000)
        case .removeContainer(let task, let id):
            try checker.checkStop(of: task, id, on: nodes[node], now)
            nodes[node].containers[id] = nil
            schedule(answer(task, .removed), after: milliseconds(2...20))
        case .applyNetworking(let networking, _, let version):
            nodes[node].networking = networking
            schedule(
                .event(
                    node: node, boot: boot,
                    .agent(.networkApplied(version: version, failures: [:], ports: [:]))),
                after: milliseconds(1...15))
        case .report: break
        }
    }

    /// A container's process ends by itself.
    mutating func endContainer(_ id: String, on node: Int, code: Int = 1) {
        guard nodes[node].containers[id]?.info.state == .running else { return }
        nodes[node].containers[id]?.info.state = .exited
        nodes[node].containers[id]?.info.exitCode = code
        let (_, time) = clocks(of: node)
        schedule(
            .event(
                node: node, boot: nodes[node].boot,
                .agent(.container(.exited(containerID: id, exitCode: code, oomKilled: false, at: time)))),
            after: 1_000_000)
    }

    // MARK: Planted faults of the planner

    private func spoil(_ result: inout Plan) {
        guard !plan.worldMutations.isEmpty else { return }
        let taken = checker.truth.tasks.sorted.first {
            !$0.status.state.isTerminal && $0.networksAttachments != nil
        }
        result.actions = result.actions.map { action in
            guard case .update(.task(var task)) = action else { return action }
            if plan.worldMutations.contains(.reusesAddresses), task.status.state < .accepted,
                let address = taken?.networksAttachments?.first?.addresses, task.networksAttachments != nil
            {
                task.networksAttachments?[0].addresses = address
            }
            if plan.worldMutations.contains(.ignoresConstraints), task.status.state == .assigned {
                task.nodeID = nodes[0].id
            }
            return .update(.task(task))
        }
    }
}
