import LogGathering
import Ports
import SwarmCore
import SwarmModel

/// Nodes with logs in memory, a reader that takes what it is given, and a clock that moves when told.
struct GatheringWorld {
    struct Pending {
        var number: UInt64
        var node: ObjectID
        var ask: LogAsk
        var due: Instant
    }

    var gatherer: LogGatherer
    var places: [LogPlace] = []
    var isGone = false
    /// By task; the position's offset counts lines.
    var logs: [ObjectID: [LogLine]] = [:]
    var ended: Set<ObjectID> = []
    var dead: Set<ObjectID> = []
    /// Tasks whose containers are not there.
    var absent: Set<ObjectID> = []
    var refusal: SwarmError?
    var isReaderSlow = false
    private(set) var pending: [Pending] = []
    private(set) var lines: [GatheredLine] = []
    private(set) var isFinished = false
    private(set) var looks = 0
    private(set) var asked = 0
    private(set) var untaken = 0
    private(set) var now = Instant(nanoseconds: 1)

    init(_ scope: LogScope = .service("web"), follow: Bool = false, _ change: (inout LogOptions) -> Void = { _ in }) {
        var options = LogOptions()
        options.follow = follow
        change(&options)
        gatherer = LogGatherer(scope, options)
    }

    var time: Timestamp { Timestamp(nanoseconds: now.nanoseconds) }
    var texts: [String] { lines.map { String(decoding: $0.line.text, as: UTF8.self) } }
    var warnings: [String] { texts.filter { $0.hasPrefix("warning: ") } }
    /// Without warnings.
    var written: [String] { texts.filter { !$0.hasPrefix("warning: ") } }

    mutating func add(_ task: ObjectID, on node: ObjectID, _ texts: [String] = [], isEnded: Bool = false) {
        places.append(
            LogPlace(
                task: task, service: "web", name: "web.\(places.count + 1)", node: node, nodeName: "host-\(node)",
                container: "c-\(task)", isEnded: isEnded))
        logs[task] = []
        if isEnded { ended.insert(task) }
        for text in texts { write(task, text) }
    }

    mutating func write(_ task: ObjectID, _ text: String) {
        let at = Int64(logs.values.reduce(0) { $0 + $1.count })
        logs[task, default: []].append(
            LogLine(time: Timestamp(nanoseconds: at), stream: .stdout, text: Array(text.utf8)))
    }

    mutating func look() { step(.places(places, isGone: isGone)) }

    mutating func step(_ event: LogGatherer.Event) {
        var events = [event]
        while !events.isEmpty {
            for effect in gatherer.receive(events.removeFirst(), at: now, time: time) {
                switch effect {
                case .ask(let number, let node, let ask):
                    asked += 1
                    // What the driver promises.
                    let due = now + (dead.contains(node) ? .seconds(3) + ask.patience : ask.patience)
                    pending.append(Pending(number: number, node: node, ask: ask, due: due))
                case .deliver(let gathered):
                    lines += gathered
                    if isReaderSlow { untaken += 1 } else { events.append(.taken) }
                case .look:
                    looks += 1
                    events.append(.places(places, isGone: isGone))
                case .finish: isFinished = true
                }
            }
        }
    }

    mutating func take() {
        untaken -= 1
        step(.taken)
    }

    /// Lets every node answer that has something to say, until nobody has.
    mutating func settle() {
        while let index = pending.firstIndex(where: { !dead.contains($0.node) && answer($0) != nil }) {
            let ask = pending.remove(at: index)
            guard let answer = answer(ask) else { return }
            step(.answered(ask: ask.number, answer))
        }
    }

    /// Moves the clock from event to event.
    mutating func run(for duration: Duration) {
        let end = now + duration
        settle()
        while true {
            let deadline = gatherer.nextDeadline(at: now, time: time)
            let dates = pending.map(\.due) + [deadline].compactMap { $0 }
            guard let next = dates.min(), next <= end, !isFinished else { break }
            now = max(next, Instant(nanoseconds: now.nanoseconds + 1))
            if let index = pending.firstIndex(where: { $0.due <= now }) {
                let ask = pending.remove(at: index)
                step(.answered(ask: ask.number, isAlive(ask) ? .success(LogAnswer()) : .failure(Self.silence)))
            } else {
                step(.deadlineReached)
            }
            settle()
        }
        now = max(now, end)
    }

    private func isAlive(_ ask: Pending) -> Bool { !dead.contains(ask.node) }
    static let silence = SwarmError(.deadlineExceeded, "it did not answer within 3.0 seconds")

    /// nil for one that waits.
    private func answer(_ pending: Pending) -> Result<LogAnswer, SwarmError>? {
        if let refusal { return .failure(refusal) }
        var answer = LogAnswer()
        var left = pending.ask.bytesMax
        for (index, want) in pending.ask.wants.enumerated() {
            guard left > 0 else {
                answer.isComplete = false
                break
            }
            guard !absent.contains(want.task), let log = logs[want.task] else {
                answer.outcomes[index] = .absent
                continue
            }
            var start = want.position.offset
            if let tail = want.tail { start = max(0, log.count - tail) }
            var piece = LogPiece(position: LogPosition(file: 1, offset: start))
            for line in log[min(start, log.count)...] where left > 0 {
                piece.lines.append(line)
                piece.position.offset += 1
                left -= line.text.count + LogLine.overheadBytes
            }
            piece.hasMore = piece.position.offset < log.count
            piece.isOver = !piece.hasMore && ended.contains(want.task)
            if !piece.lines.isEmpty || piece.isOver || piece.position.offset != want.position.offset {
                answer.outcomes[index] = .piece(piece)
            }
        }
        let saysSomething = !answer.outcomes.isEmpty || !answer.isComplete
        return saysSomething || pending.ask.patience == .zero ? .success(answer) : nil
    }
}
