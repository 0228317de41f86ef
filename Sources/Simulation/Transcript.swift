import Consensus
import Dispatching
import Execution
import Membership
import Ports
import SwarmCore
import SwarmModel
import SwarmNode

/// Words for the transcript; short, since every step is written down.
extension World {
    func describe(_ event: NodeEvent) -> String {
        switch event {
        case .recovered(let state): "recovers \(state.entries.count) entries after \(state.snapshotIndex)"
        case .restored(let held): "remembers \(held.assignment.tasks.count) tasks"
        case .persisted(let sequence): "has written \(sequence)"
        case .deadlineReached: "wakes"
        case .request(let ticket, _, _): "is asked \(ticket)"
        case .bootstrap: "begins the cluster"
        case .read(let ticket): "is read \(ticket)"
        case .planned(let plan): "has a plan of \(plan.actions.count)"
        case .snapshotSaved(let index, _): "has saved \(index)"
        case .agent(let event): "agent: \(describe(event))"
        case .peer(let message, let from): "hears \(from): \(describe(message))"
        case .gossip(let event): "gossip: \(describe(event))"
        case .hostAnswered(let id): "finds \(id)'s machine there"
        case .leave: "leaves"
        case .standDown: "stands down"
        }
    }

    func describe(_ result: Result<ControlResponse, SwarmError>) -> String {
        switch result {
        case .success(.created(let id, _)): "created \(id)"
        case .success(.done): "done"
        case .failure(let error): "\(error.code.rawValue): \(error.message.prefix(60))"
        }
    }

    private func describe(_ event: AgentEvent) -> String {
        switch event {
        case .found(let containers): "found \(containers.count)"
        case .assigned: "assigned"
        case .restored: "restored"
        case .peers(let addresses): "peers \(addresses.keys.sorted().joined(separator: " "))"
        case .task(let id, let event):
            switch event {
            case .failed(_, let reason): "\(id.prefix(5)) failed, \(reason)"
            case .begin, .desired, .imageReady, .networkAttached, .created, .started, .withdrawn, .stopped,
                .detached,
                .removed, .healthCheckFound, .exited, .health, .adopted:
                "\(id.prefix(5)) \("\(event)".prefix(12))"
            }
        case .container(.exited(let id, let code, _, _)): "container \(id.prefix(5)) exits \(code)"
        case .container: "container"
        case .networkApplied(let version, _, _): "network \(version)"
        case .unreachable(let nodes): "unreachable \(nodes.sorted())"
        case .attached(let ids): "attached \(ids.sorted())"
        case .leave: "leave"
        }
    }

    private func describe(_ message: PeerMessage) -> String {
        switch message {
        case .raft(let message, _): "raft \(message.term) \(describe(message.body))"
        case .toManager(.open(let attempt, let held)): "open \(attempt) holding \(held.count)"
        case .toManager(.beat(let id, let version)): "beat \(id.leader.term)/\(id.number) at \(version)"
        case .toManager(.resynchronize(let id)): "resynchronize \(id.leader.term)/\(id.number)"
        case .toManager(.statuses(let id, let number, let statuses)):
            "statuses \(id.leader.term)/\(id.number) #\(number): \(statuses.count)"
        case .toAgent(.leader(let claim)): "\(claim.nodeID) leads in term \(claim.term)"
        case .toAgent(.notLeader(let claim)): "not leader, \(claim?.nodeID ?? "nobody") is"
        case .toAgent(.update(let update)):
            "update \(update.session.leader.term)/\(update.session.number) v\(update.version): "
                + "\(update.delta.changed.count) changed, \(update.delta.removed.count) removed"
        case .toAgent(.beatAnswered): "beat answered"
        case .toAgent(.acknowledged(_, let number)): "acknowledged #\(number)"
        case .toAgent(.sessionUnknown): "session unknown"
        case .toAgent(.nodeUnknown): "node unknown"
        case .request(let number, _, _, _): "request \(number)"
        case .answer(let number, let result): "answer \(number): \(describe(result))"
        case .ask(let number, let request, _): "ask \(number) \(request)"
        case .refused(let number): "refused \(number)"
        }
    }

    private func describe(_ body: RaftMessage.Body) -> String {
        switch body {
        case .requestVote(let index, _, let isPreVote): "\(isPreVote ? "pre-vote?" : "vote?") at \(index)"
        case .vote(let granted, let isPreVote): "\(isPreVote ? "pre-vote" : "vote") \(granted)"
        case .append(let previous, _, let entries, let commit, _):
            "append \(previous)+\(entries.count) commit \(commit)"
        case .appended(let success, let matched, _): "appended \(success) \(matched)"
        case .snapshotPiece(let piece): "snapshot \(piece.index) from \(piece.offset)"
        case .snapshotReceived(let index, _, let offset, _): "snapshot \(index) to \(offset)"
        case .timeoutNow: "take over"
        case .readRequest: "read?"
        case .readReply(_, let index): "read at \(index.map(String.init) ?? "nothing")"
        }
    }

    private func describe(_ event: MembershipEvent) -> String {
        switch event {
        case .join: "join"
        case .received(let datagram, _): "\(datagram.from) \(datagram.claims.count) claims"
        case .exchangeRequested: "exchange"
        case .exchangeAnswered: "exchange answered"
        case .exchangeFailed: "exchange failed"
        case .streamPinged: "stream ping"
        case .streamPingAnswered: "stream ping answered"
        case .deadlineReached: "wakes"
        case .contactChanged: "contact"
        case .leave: "leave"
        }
    }
}
