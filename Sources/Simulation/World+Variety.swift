import Ports
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// What only varied plans do.
extension World {
    // MARK: Services

    mutating func vary(_ spec: inout ServiceSpec) {
        guard plan.isVaried else { return }
        // Few names, so that they are asked for again while the first answer is under way.
        if below(2) == 0 { spec.name = "pool-\(below(4))" }
        switch below(8) {
        case 0, 1:
            spec.mode = ServiceMode(global: GlobalMode())
        case 2:
            spec.mode = ServiceMode(
                replicatedJob: ReplicatedJobMode(maxConcurrent: UInt64(1 + below(2)), totalCompletions: 3))
            spec.taskTemplate.restartPolicy = RestartPolicy(condition: "on-failure", delay: 500_000_000)
            spec.endpointSpec = nil
        case 3:
            spec.taskTemplate.containerSpec?.healthcheck = HealthConfig(
                test: ["CMD", "true"], interval: 1_000_000_000)
        default: break
        }
    }

    /// A job's process ends by itself, and what is checked is found well.
    mutating func live(_ task: ObjectID, _ container: String, on node: Int) {
        guard let known = checker.truth.tasks[task] else { return }
        if known.jobIteration != nil {
            schedule(.finish(node: node, container: container), after: milliseconds(100...1500))
        } else if known.spec.containerSpec?.healthcheck != nil {
            nodes[node].containers[container]?.info.health = .healthy
            schedule(
                .event(
                    node: node, boot: nodes[node].boot,
                    .agent(.container(.health(containerID: container, .healthy, output: "")))),
                after: milliseconds(100...1500))
        }
    }

    // MARK: Faults

    /// The leader keeps its agents and loses the other managers: what it hears and proposes comes to nothing.
    mutating func splitManagers(_ length: Int64) {
        guard let leader = nodes.indices.first(where: { nodes[$0].machine?.isLeader == true }) else { return }
        let others = nodes.indices.filter { $0 != leader && nodes[$0].machine?.isManager == true }
        guard !others.isEmpty else { return }
        note("\(nodes[leader].id) leads, and the other managers are cut off from it")
        let links = Set(others.flatMap { [Network.Link(from: leader, to: $0), Network.Link(from: $0, to: leader)] })
        network.cut(links, as: "split \(now)")
        trouble(Array(nodes.indices), until: now + length)
        schedule(.heal("split \(now)"), after: length)
    }

    /// Everything dies at once, while the disks are slow.
    mutating func cutPower(_ members: [Int]) {
        note("the power fails")
        for node in members {
            crash(node, losingContainers: true)
            nodes[node].isDiskSlow = true
            schedule(.restart(node: node), after: milliseconds(300...3000))
        }
    }

    /// Everybody hears only the next one and the one before.
    mutating func ring(_ members: [Int], _ length: Int64) {
        guard members.count > 3 else { return }
        var links: Set<Network.Link> = []
        for (place, one) in members.enumerated() {
            for (otherPlace, other) in members.enumerated() where one != other {
                let distance = abs(place - otherPlace)
                guard distance > 1, distance < members.count - 1 else { continue }
                links.insert(Network.Link(from: one, to: other))
            }
        }
        note("a ring is left of the network")
        network.cut(links, as: "ring \(now)")
        trouble(members, until: now + length)
        schedule(.heal("ring \(now)"), after: length)
    }

    /// One node of a run leaves for good, if the managers can spare it.
    mutating func beginLeaving() {
        guard !nodes.contains(where: \.hasLeft),
            let leader = nodes.indices.first(where: { nodes[$0].machine?.isLeader == true })
        else { return }
        let voters = nodes[leader].machine?.voters ?? []
        let ahead = nodes[leader].machine?.ahead?.store ?? checker.truth
        func known(_ node: Int) -> Node? { ahead.nodes[nodes[node].id] }
        let candidates = nodes.indices.filter { node in
            // Who is about to be promoted may be the next quorum.
            nodes[node].isUp && nodes[node].isMember && node != 0
                && (known(node)?.spec.role == "worker" || voters.contains(NodeMachine.memberID(of: nodes[node].id)))
                && (voters.count > 3 || !voters.contains(NodeMachine.memberID(of: nodes[node].id)))
        }
        guard !candidates.isEmpty else { return }
        schedule(.leave(node: candidates[below(candidates.count)]), after: 0)
    }

    mutating func leave(_ node: Int) throws(Violation) {
        guard nodes[node].isUp, !isCalm else { return }
        note("\(nodes[node].id) leaves")
        checker.leaving.insert(nodes[node].id)
        nodes[node].hasLeft = true
        try step(node, .leave)
        schedule(.gone(node: node, at: now + Self.farewellNanosecondsMax), after: 2_000_000_000)
    }

    /// As the daemon does it: not before nobody needs its vote, if that is soon.
    mutating func go(_ node: Int, at end: Int64) {
        guard now < end, nodes[node].machine?.mayGo == false else { return crash(node) }
        schedule(.gone(node: node, at: end), after: 200_000_000)
    }

    /// Somebody removes what is left of nodes that left.
    mutating func removeLeavers(_ store: ObjectStore, through leader: Int) throws(Violation) {
        for node in nodes where node.hasLeft && !node.isUp {
            guard let known = store.nodes[node.id] else { continue }
            var spec = known.spec
            spec.role = "worker"
            let request: ControlRequest =
                known.spec.role == "manager"
                ? .updateNode(id: node.id, version: known.version.index, spec)
                : .removeNode(id: node.id, force: true)
            try ask(leader, .changeNode, request)
        }
    }
}
