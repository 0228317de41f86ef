import Consensus
import SwarmCore

// Consensus: payloads of entries and pieces of snapshots are copied as they are.

extension WireWriter {
    mutating func raft(_ message: RaftMessage) throws(SwarmError) {
        word(message.from)
        word(message.to)
        number(message.term)
        switch message.body {
        case .requestVote(let lastIndex, let lastTerm, let isPreVote):
            byte(1)
            number(lastIndex)
            number(lastTerm)
            flag(isPreVote)
        case .vote(let granted, let isPreVote):
            byte(2)
            flag(granted)
            flag(isPreVote)
        case .append(let previousIndex, let previousTerm, let entries, let commit, let round):
            byte(3)
            reserve(bytes.count + entries.reduce(64) { $0 + $1.payload.count + 32 })
            number(previousIndex)
            number(previousTerm)
            number(commit)
            number(round)
            try list(entries) { writer, entry throws(SwarmError) in writer.entry(entry) }
        case .appended(let success, let matched, let round):
            byte(4)
            flag(success)
            number(matched)
            number(round)
        case .snapshotPiece(let piece):
            byte(5)
            try snapshotPiece(piece)
        case .snapshotReceived(let index, let checksum, let offset, let round):
            byte(6)
            number(index)
            word(checksum)
            count(offset)
            number(round)
        case .timeoutNow: byte(7)
        case .readRequest(let context):
            byte(8)
            number(context)
        case .readReply(let context, let index):
            byte(9)
            number(context)
            try optional(index) { writer, index throws(SwarmError) in writer.number(index) }
        }
    }

    private mutating func entry(_ entry: Entry) {
        number(entry.term)
        number(entry.index)
        byte(entry.kind.rawValue)
        blob(entry.payload)
    }

    private mutating func snapshotPiece(_ piece: SnapshotPiece) throws(SwarmError) {
        reserve(bytes.count + piece.bytes.count + 512)
        number(piece.index)
        number(piece.term)
        for set in [piece.configuration.voters, piece.configuration.outgoing, piece.configuration.learners] {
            try list(set.sorted()) { writer, id throws(SwarmError) in writer.word(id) }
        }
        word(piece.checksum)
        count(piece.size)
        count(piece.offset)
        number(piece.round)
        blob(piece.bytes)
    }
}

extension WireReader {
    mutating func raft() throws(SwarmError) -> RaftMessage {
        let from = try word()
        let to = try word()
        let term = try number()
        return RaftMessage(from: from, to: to, term: term, body: try raftBody())
    }

    private mutating func raftBody() throws(SwarmError) -> RaftMessage.Body {
        switch try byte() {
        case 1: return .requestVote(lastIndex: try number(), lastTerm: try number(), isPreVote: try flag())
        case 2: return .vote(granted: try flag(), isPreVote: try flag())
        case 3:
            let (previousIndex, previousTerm) = (try number(), try number())
            let (commit, round) = (try number(), try number())
            let entries = try list(each: 4) { reader throws(SwarmError) in try reader.entry() }
            return .append(
                previousIndex: previousIndex, previousTerm: previousTerm, entries: entries, commit: commit,
                round: round)
        case 4: return .appended(success: try flag(), matched: try number(), round: try number())
        case 5: return .snapshotPiece(try snapshotPiece())
        case 6:
            return .snapshotReceived(
                index: try number(), checksum: try word(), offset: try size(), round: try number())
        case 7: return .timeoutNow
        case 8: return .readRequest(context: try number())
        case 9:
            let context = try number()
            return .readReply(
                context: context, index: try optional { reader throws(SwarmError) in try reader.number() })
        case let other: throw damaged("consensus message \(other) is not known")
        }
    }

    private mutating func entry() throws(SwarmError) -> Entry {
        let (term, index) = (try number(), try number())
        let code = try byte()
        guard let kind = Entry.Kind(rawValue: code) else { throw damaged("entry kind \(code) is not known") }
        return Entry(term: term, index: index, kind: kind, payload: try blob())
    }

    private mutating func snapshotPiece() throws(SwarmError) -> SnapshotPiece {
        let (index, term) = (try number(), try number())
        var sets: [Set<MemberID>] = []
        for _ in 0..<3 {
            let ids = try list(each: 8, max: 255) { reader throws(SwarmError) in try reader.word() }
            sets.append(Set(ids))
        }
        let checksum = try word()
        let (size, offset) = (try size(), try size())
        let round = try number()
        return SnapshotPiece(
            index: index, term: term,
            configuration: ClusterConfiguration(voters: sets[0], outgoing: sets[1], learners: sets[2]),
            checksum: checksum, size: size, offset: offset, bytes: try blob(), round: round)
    }
}
