import Allocation
import Consensus
import Dispatching
import Membership
import SwarmCore
import SwarmModel
import Testing

@testable import SwarmNode

/// What a node believes of a member that fell silent, by what that member's machine says.
@Suite struct HostWatchTests {
    private struct Pair {
        var node: NodeMachine
        var now = Instant(nanoseconds: 1_000_000_000)
        var time = Timestamp(nanoseconds: 1_800_000_000_000_000_000)
        var isMachineThere = true
        var asked = 0

        init() {
            func contact(_ number: Int) -> Contact {
                Contact(
                    address: PeerAddress(host: "192.0.2.\(number)", port: 7946),
                    metadata: MemberMetadata(role: .worker))
            }
            var setup = ClusterSetup()
            setup.gossip = ClusterSetup.Gossip(contact: contact(1), incarnation: 1)
            node = NodeMachine(
                nodeID: "n1", agentFacts: NodeHarness.facts, allocationFacts: .init(), codec: TableCodec(),
                seed: 1,
                setup: setup)
            step(.recovered(.init()))
            step(.gossip(.join(seeds: [])))
            let other = Member(id: "n2", contact: contact(2), incarnation: 1, status: .alive)
            step(.gossip(.exchangeRequested(ticket: 1, StateExchange(from: "n2", members: [other]))))
        }

        mutating func step(_ event: NodeEvent) {
            for effect in node.receive(event, at: now, time: time) {
                guard case .askHost(let id, _) = effect else { continue }
                asked += 1
                if isMachineThere { step(.hostAnswered(id)) }
            }
        }

        /// The member says nothing for so long.
        mutating func pass(_ duration: Duration) {
            let end = now + duration
            while let wait = node.nextDeadline(now: now, time: time), now + wait <= end {
                (now, time) = (now + max(wait, .milliseconds(1)), time + max(wait, .milliseconds(1)))
                step(.deadlineReached)
            }
            now = end
        }
    }

    @Test func `a machine that is gone is noticed in two seconds`() {
        var pair = Pair()
        pair.isMachineThere = false
        pair.pass(.seconds(2))
        #expect(pair.node.deadNodes == ["n2"])
        #expect(pair.asked > 0)
    }

    @Test func `a daemon that is away costs its node nothing while the machine answers`() {
        var pair = Pair()
        pair.pass(.seconds(20))
        #expect(pair.node.deadNodes == [])
        #expect(pair.node.absentNodes == ["n2"], "it is known to be away")
        pair.isMachineThere = false
        pair.pass(.milliseconds(1300))
        #expect(pair.node.deadNodes == ["n2"], "now the machine is gone, too")
    }

    @Test func `a daemon that stays away is given up`() {
        var pair = Pair()
        pair.pass(NodeMachine.hostPatience + .seconds(4))
        #expect(pair.node.deadNodes == ["n2"])
        let asked = pair.asked
        pair.pass(.seconds(5))
        #expect(pair.asked == asked, "nobody asks for ever")
    }

    @Test func `a daemon that comes back is watched no more`() {
        var pair = Pair()
        pair.pass(.seconds(5))
        let address = PeerAddress(host: "192.0.2.2", port: 7946)
        let contact = Contact(address: address, metadata: MemberMetadata(role: .worker))
        let back = Claim(subject: "n2", incarnation: 9, content: .alive(contact))
        pair.step(
            .gossip(.received(GossipDatagram(from: "n2", body: .gossip, claims: [back]), from: address)))
        #expect(pair.node.absentNodes == [])
        #expect(pair.node.deadNodes == [])
    }
}
