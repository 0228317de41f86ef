/// The entries since the last snapshot, in memory, so that a step never reads storage.
package struct RaftLog: Sendable, Equatable {
    /// What an entry costs beside its payload, counted into ``bytes``.
    static let entryOverheadBytes = 40

    /// The last entry that is no longer here: everything up to it is in a snapshot.
    package private(set) var snapshotIndex: LogIndex
    package private(set) var snapshotTerm: Term
    private var entries: [Entry]
    /// What the entries cost in memory, about.
    package private(set) var bytes: Int

    init(snapshotIndex: LogIndex = 0, snapshotTerm: Term = 0, entries: [Entry] = []) {
        (self.snapshotIndex, self.snapshotTerm, self.entries) = (snapshotIndex, snapshotTerm, entries)
        bytes = entries.reduce(0) { $0 + $1.size }
    }

    package var lastIndex: LogIndex { entries.last?.index ?? snapshotIndex }
    package var lastTerm: Term { entries.last?.term ?? snapshotTerm }

    package func term(at index: LogIndex) -> Term? {
        if index == snapshotIndex { return snapshotTerm }
        guard index > snapshotIndex, index <= lastIndex else { return nil }
        return entries[Int(index - snapshotIndex - 1)].term
    }

    func entries(from first: LogIndex, through last: LogIndex) -> ArraySlice<Entry> {
        guard first > snapshotIndex, first <= last, last <= lastIndex else { return [] }
        return entries[Int(first - snapshotIndex - 1)...Int(last - snapshotIndex - 1)]
    }

    /// The first entry of the run of equal terms that ends at `index`.
    func firstIndex(ofTermAt index: LogIndex) -> LogIndex {
        guard let term = term(at: index) else { return index }
        var first = index
        while first > snapshotIndex + 1, self.term(at: first - 1) == term { first -= 1 }
        return first
    }

    mutating func append(_ new: [Entry]) {
        for entry in new {
            precondition(entry.index == lastIndex + 1, "the log has no gaps")
            entries.append(entry)
            bytes += entry.size
        }
    }

    mutating func truncate(from index: LogIndex) {
        guard index > snapshotIndex, index <= lastIndex else { return }
        let kept = Int(index - snapshotIndex - 1)
        bytes -= entries[kept...].reduce(0) { $0 + $1.size }
        entries.removeSubrange(kept...)
    }

    mutating func compact(upTo index: LogIndex) {
        guard index > snapshotIndex, let term = term(at: index) else { return }
        let dropped = Int(index - snapshotIndex)
        bytes -= entries[..<dropped].reduce(0) { $0 + $1.size }
        entries.removeSubrange(..<dropped)
        (snapshotIndex, snapshotTerm) = (index, term)
    }
}

extension Entry {
    var size: Int { payload.count + RaftLog.entryOverheadBytes }
}
