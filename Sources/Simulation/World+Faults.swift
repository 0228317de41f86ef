import Dispatching
import Ports
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// What goes wrong, and when it stops.
extension World {
    mutating func injectFault() {
        guard !isCalm else { return }
        schedule(.fault, after: milliseconds(400...2500))
        let members = nodes.indices.filter { nodes[$0].isMember && !nodes[$0].isRemoved && !nodes[$0].hasLeft }
        guard !members.isEmpty else { return }
        let node = members[below(members.count)]
        let length = milliseconds(200...6000)
        switch below(plan.isVaried ? 21 : 16) {
        case 16: splitManagers(length)
        case 17: cutPower(members)
        case 18: ring(members, length)
        case 19: beginLeaving()
        case 20: splitManagers(length)
        case 13: deafenLeaders()
        case 14: delayLeader(members, length)
        case 15:
            // Plans that take longer than a leadership.
            planMilliseconds = 1...(below(3) == 0 ? 60 : 6000)
            note("plans take up to \(planMilliseconds.upperBound) ms")
        case 0, 1:
            crash(node, losingContainers: below(4) == 0)
            schedule(.restart(node: node), after: length)
        case 2: armedCrash = (node, below(40))
        case 3:
            guard nodes[node].isUp else { break }
            note("\(nodes[node].id) is paused for \(length / 1_000_000) ms")
            nodes[node].pausedUntil = now + length
            nodes[node].troubledAt = now + length
        case 4, 5: partition(members, length)
        case 6: flap(node, members)
        case 7:
            let links = Set(members.filter { $0 != node }.map { Network.Link(from: node, to: $0) })
            trouble(members, until: now + length)
            network.clog(links, by: milliseconds(100...1500), as: "clog \(now)")
            note("what \(nodes[node].id) sends is late")
            schedule(.heal("clog \(now)"), after: length)
        case 8:
            nodes[node].isDiskSlow.toggle()
            note("\(nodes[node].id): the disk is \(nodes[node].isDiskSlow ? "slow" : "fast again")")
            nodes[node].troubledAt = now
        case 9:
            nodes[node].skew += milliseconds(-8000...8000)
            note("\(nodes[node].id): the wall clock jumps")
        case 10:
            runtimeFailures = below(2) == 0 ? 0 : below(300)
            note("of a thousand images and starts \(runtimeFailures) fail")
        case 11: forge(from: node)
        default:
            let running = nodes[node].containers.filter { $0.value.info.state == .running }.keys.sorted()
            guard !running.isEmpty else { break }
            endContainer(running[below(running.count)], on: node)
        }
    }

    /// Cuts the members in two, or one off, or one direction only.
    private mutating func partition(_ members: [Int], _ length: Int64) {
        let isOneWay = below(3) == 0
        var side: Set<Int> = []
        if below(2) == 0 {
            side = [members[below(members.count)]]
        } else {
            for member in members where below(2) == 0 { side.insert(member) }
        }
        var links: Set<Network.Link> = []
        for one in members where side.contains(one) {
            for other in members where !side.contains(other) {
                links.insert(Network.Link(from: one, to: other))
                if !isOneWay { links.insert(Network.Link(from: other, to: one)) }
            }
        }
        let name = "partition \(now)"
        note("\(side.sorted()) \(isOneWay ? "cannot be heard" : "are cut off")")
        network.cut(links, as: name)
        trouble(members, until: now + length)
        schedule(.heal(name), after: length)
    }

    /// One leader after another hears nobody and still sends: leadership comes back to where it was.
    private mutating func deafenLeaders() {
        note("leaders go deaf one after the other")
        for round in 0..<3 { schedule(.deafen, after: Int64(round) * milliseconds(1500...2000)) }
    }

    mutating func deafenLeader() {
        let members = nodes.indices.filter { nodes[$0].isMember && !nodes[$0].isRemoved }
        guard !isCalm, let leader = members.first(where: { nodes[$0].machine?.isLeader == true }) else {
            return
        }
        let links = Set(members.filter { $0 != leader }.map { Network.Link(from: $0, to: leader) })
        note("\(nodes[leader].id) leads and is deaf")
        network.cut(links, as: "deaf leader \(now)")
        trouble(members, until: now + 1_600_000_000)
        schedule(.heal("deaf leader \(now)"), after: milliseconds(1300...1600))
    }

    /// What the leader says comes so late that others lead by then.
    private mutating func delayLeader(_ members: [Int], _ length: Int64) {
        guard let leader = members.first(where: { nodes[$0].machine?.isLeader == true }) else { return }
        let links = Set(members.filter { $0 != leader }.map { Network.Link(from: leader, to: $0) })
        note("\(nodes[leader].id) leads, and what it says comes late")
        network.clog(links, by: milliseconds(1500...4000), as: "late leader \(now)")
        trouble(members, until: now + length)
        schedule(.heal("late leader \(now)"), after: length)
    }

    private mutating func flap(_ node: Int, _ members: [Int]) {
        var links: Set<Network.Link> = []
        for other in members where other != node {
            links.insert(Network.Link(from: node, to: other))
            links.insert(Network.Link(from: other, to: node))
        }
        let name = "flapping \(now)"
        var at = Int64(0)
        for _ in 0..<5 {
            schedule(.cut(name, links), after: at)
            at += milliseconds(100...900)
            schedule(.heal(name), after: at)
            at += milliseconds(100...900)
        }
        trouble(members, until: now + at)
    }

    mutating func trouble(_ members: [Int], until end: Int64) {
        for member in members { nodes[member].troubledAt = max(nodes[member].troubledAt, end) }
    }

    /// A node gone wrong says that others' tasks have failed.
    private mutating func forge(from node: Int) {
        // The forged report is numbered so that it confirms nothing that the agent has still to report.
        guard let session = nodes[node].machine?.session.session,
            let number = nodes[node].machine?.session.confirmedReport,
            let leader = index(of: session.leader.nodeID),
            let victim = checker.truth.tasks.sorted.first(where: {
                $0.nodeID != nodes[node].id && $0.nodeID != nil && $0.status.state == .running
            })
        else { return }
        note("\(nodes[node].id) forges the status of \(victim.id)")
        var status = victim.status
        (status.state, status.message) = (.failed, Checker.forged)
        let message = PeerMessage.toManager(.statuses(session, number: number, [victim.id: status]))
        schedule(.peer(message, from: node, to: leader), after: 1_000_000)
    }

    /// Everything that was broken works again.
    mutating func calm() {
        note("calm")
        isCalm = true
        armedCrash = nil
        planMilliseconds = 1...5
        network.calm()
        for node in nodes.indices {
            nodes[node].isDiskSlow = false
            nodes[node].pausedUntil = min(nodes[node].pausedUntil, now)
            nodes[node].troubledAt = now
            if nodes[node].isMember, !nodes[node].isUp, !nodes[node].hasLeft {
                schedule(.restart(node: node), after: milliseconds(1...50))
            }
        }
    }
}
