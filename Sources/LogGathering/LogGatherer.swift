package import Ports
package import SwarmCore
package import SwarmModel

/// Gathers the lines of a service's or a task's logs from every node that has some, for one reader.
///
/// It asks each node for a little, hands it on, and asks again when that was taken: a slow reader slows the asking and
/// nothing else. While it follows, an ask waits at its node until there is something. What a node said last is where
/// the next ask begins: an answer that was lost is asked for again, and no line comes twice. A node that does not
/// answer costs one warning, as a line of one of its tasks, and when somebody follows it is asked again until it does.
package struct LogGatherer: Sendable {
    /// A node that has not answered for so long costs a warning; one that is known to be down does at its first
    /// failure.
    package static let nodePatience: Duration = .seconds(5)
    package static let retryInitial: Duration = .milliseconds(200)
    package static let retryMax: Duration = .seconds(5)
    /// Between two looks at the store in which nothing was said to have changed.
    package static let lookInterval: Duration = .seconds(10)
    /// Asks under way at one node for one reader: one that waits, and those of tasks that came meanwhile.
    package static let asksPerNodeMax = 4
    /// Text of one answer to an ask that does not wait.
    package static let readBytes = 128 << 10
    /// Text of one answer to an ask that waits; of these there is one for each reader.
    package static let waitBytes = 8 << 10
    /// Two asks that wait at one node end together, and become one; the first is asked again when the second has ended,
    /// if that is so near.
    static let mergeInterval: Duration = .milliseconds(500)
    /// How long the last lines of a task that was removed are waited for.
    package static let farewell: Duration = .seconds(5)
    /// Tasks that a warning names.
    static let namedTasksMax = 5

    package enum Event: Sendable {
        /// Every task of the scope that has, or had, a container.
        /// - Parameter isGone: the service or task is no longer in the store.
        case places([LogPlace], isGone: Bool)
        case answered(ask: UInt64, Result<LogAnswer, SwarmError>)
        /// The reader has taken what it was given.
        case taken
        case deadlineReached
    }

    package enum Effect: Sendable, Equatable {
        /// Answered with `.answered` in any case, in bounded time.
        case ask(UInt64, node: ObjectID, LogAsk)
        /// Answered with `.taken`.
        case deliver([GatheredLine])
        /// Answered with `.places`.
        case look
        case finish
    }

    struct Source {
        var place: LogPlace
        var position = LogPosition.beginning
        var tail: Int?
        var ask: UInt64?
        /// Whether the last answer left nothing at hand.
        var isRead = false
        var isDone = false
        /// Since when the store no longer has it.
        var missingSince: Instant?
        /// Its container was not found, though it should be there: not asked again before.
        var pauseUntil: Instant?
    }

    struct Ask {
        var node: ObjectID
        var tasks: [ObjectID]
        /// From when on an answer is expected.
        var since: Instant
        var waits: Bool
    }

    struct NodeState {
        var failingSince: Instant?
        var retryAt: Instant?
        var pause = LogGatherer.retryInitial
        var isWarned = false
    }

    private let scope: LogScope
    let options: LogOptions
    private var isFollowing: Bool
    private var sources: [ObjectID: Source] = [:]
    private var nodes: [ObjectID: NodeState] = [:]
    private var asks: [UInt64: Ask] = [:]
    private var nextAsk: UInt64 = 0
    private var hasLooked = false
    private var isGone = false
    private var isFinished = false
    private var lookAt: Instant?
    /// What the reader has not been given yet, and whether it has something that it did not take yet.
    private var waiting: [GatheredLine] = []
    private var isDelivering = false

    package init(_ scope: LogScope, _ options: LogOptions) {
        (self.scope, self.options, isFollowing) = (scope, options, options.follow)
    }

    // MARK: Events

    package mutating func receive(_ event: Event, at now: Instant, time: Timestamp) -> [Effect] {
        guard !isFinished else { return [] }
        switch event {
        case .places(let places, let isGone): take(places, isGone: isGone, now)
        case .answered(let ask, let result): take(result, of: ask, now, time)
        case .taken: isDelivering = false
        case .deadlineReached: break
        }
        return proceed(now, time)
    }

    /// When `.deadlineReached` is due.
    package func nextDeadline(at now: Instant, time: Timestamp) -> Instant? {
        guard !isFinished else { return nil }
        var deadlines = [lookAt].compactMap { $0 }
        deadlines += nodes.values.compactMap(\.retryAt)
        for source in sources.values where !source.isDone {
            if let missing = source.missingSince { deadlines.append(missing + Self.farewell) }
            if let pause = source.pauseUntil { deadlines.append(pause) }
        }
        if isFollowing, let until = options.until { deadlines.append(now + max(until - time, .zero)) }
        return deadlines.min()
    }

    /// Bytes of text that the reader has not been given yet; bounded by the asks that were under way together.
    package var waitingBytes: Int { waiting.reduce(0) { $0 + $1.line.text.count } }

    private mutating func take(_ places: [LogPlace], isGone: Bool, _ now: Instant) {
        self.isGone = isGone
        lookAt = isFollowing ? now + Self.lookInterval : nil
        var present: Set<ObjectID> = []
        for place in places {
            present.insert(place.task)
            if sources[place.task] == nil {
                // Who joins while somebody follows is read from its first line.
                sources[place.task] = Source(place: place, tail: hasLooked ? nil : options.tail)
            }
            sources[place.task]?.place = place
            sources[place.task]?.missingSince = nil
        }
        for (id, source) in sources where !present.contains(id) {
            if source.isDone {
                sources[id] = nil
            } else if source.missingSince == nil {
                sources[id]?.missingSince = now
            }
        }
        hasLooked = true
    }

    private mutating func take(
        _ result: Result<LogAnswer, SwarmError>, of ask: UInt64, _ now: Instant, _ time: Timestamp
    ) {
        guard let ask = asks.removeValue(forKey: ask) else { return }
        for task in ask.tasks { sources[task]?.ask = nil }
        switch result {
        case .failure(let error): failed(ask, error, now, time)
        case .success(let answer):
            nodes[ask.node] = nil
            take(answer, ask.tasks, now, time)
        }
    }

    private mutating func take(_ answer: LogAnswer, _ tasks: [ObjectID], _ now: Instant, _ time: Timestamp) {
        var lines: [(time: Timestamp, line: GatheredLine)] = []
        var absent: [ObjectID] = []
        for (index, task) in tasks.enumerated() {
            guard var source = sources[task] else { continue }
            let place = source.place
            switch answer.outcomes[index] {
            case .piece(let piece):
                source.position = piece.position
                source.tail = nil
                source.isRead = !piece.hasMore
                source.isDone = source.isDone || piece.isOver
                // One task's lines stay in their order, though its clock be set back.
                var latest = Timestamp.zero
                for line in piece.lines {
                    latest = max(latest, line.time)
                    lines.append((latest, GatheredLine(line, task: task, service: place.service, node: place.node)))
                }
                if piece.hasGap {
                    warn(
                        place, "lines of \(place.name) on \(place.nodeName) were thrown away before they were read: "
                            + "its log was full (--log-opt max-size, max-file)", time)
                }
            case .absent:
                if source.missingSince != nil || place.isEnded || !isFollowing {
                    source.isDone = true
                    if source.missingSince == nil { absent.append(task) }
                } else {
                    source.pauseUntil = now + Self.retryMax
                }
            case .failed(let reason):
                source.isDone = true
                warn(place, "the log of \(place.name) on \(place.nodeName) cannot be read: \(reason)", time)
            case nil:
                // Nothing was new there, or there was no room for it.
                if answer.isComplete { (source.isRead, source.tail) = (true, nil) }
            }
            sources[task] = source
        }
        if let first = absent.first, let place = sources[first]?.place {
            warn(place, "\(place.nodeName) no longer has the containers of \(names(absent))", time)
        }
        waiting += lines.enumerated().sorted { ($0.element.time, $0.offset) < ($1.element.time, $1.offset) }
            .map(\.element.line)
    }

    private mutating func failed(_ ask: Ask, _ error: SwarmError, _ now: Instant, _ time: Timestamp) {
        var state = nodes[ask.node] ?? NodeState()
        let since = state.failingSince ?? min(ask.since, now)
        state.failingSince = since
        state.retryAt = now + state.pause
        state.pause = min(state.pause * 2, Self.retryMax)
        // What still runs is missed most.
        func rank(_ source: Source) -> (Int, String, ObjectID) {
            (source.place.isEnded ? 1 : 0, source.place.name, source.place.task)
        }
        let concerned = sources.values.filter { $0.place.node == ask.node && !$0.isDone }
            .sorted { rank($0) < rank($1) }
        let isDown = concerned.contains { $0.place.isNodeDown }
        // A refusal is an answer; silence may be a daemon that is started anew.
        let isSilence = error.code == .unavailable || error.code == .deadlineExceeded
        if let place = concerned.first?.place, isDown || !isSilence || now - since >= Self.nodePatience {
            if !state.isWarned {
                let reason = isDown ? "it is down" : error.description
                let missing = names(concerned.map(\.place.task))
                warn(
                    place, "\(place.nodeName) is not available (\(reason)): the lines of \(missing) are missing",
                    time)
                state.isWarned = true
            }
            if !isFollowing { for source in concerned { sources[source.place.task]?.isDone = true } }
        }
        nodes[ask.node] = state
    }

    private func names(_ tasks: [ObjectID]) -> String {
        let names = tasks.prefix(Self.namedTasksMax).compactMap { task in
            sources[task].map { "\($0.place.name).\(task)" }
        }
        let rest = tasks.count - names.count
        return names.joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
    }

    /// As a line of the task on its second stream, which every client shows.
    private mutating func warn(_ place: LogPlace, _ text: String, _ time: Timestamp) {
        let line = LogLine(
            time: time, stream: .stderr, text: Array("warning: incomplete log stream: \(text)".utf8))
        waiting.append(GatheredLine(line, task: place.task, service: place.service, node: place.node))
    }

    // MARK: Going on

    private mutating func proceed(_ now: Instant, _ time: Timestamp) -> [Effect] {
        var effects: [Effect] = []
        // What was written until then is still to be read.
        if isFollowing, let until = options.until, time >= until {
            isFollowing = false
            for id in sources.keys { sources[id]?.isRead = false }
        }
        for (id, source) in sources where !source.isDone {
            if let missing = source.missingSince, now - missing >= Self.farewell { sources[id]?.isDone = true }
            if let pause = source.pauseUntil, pause <= now { sources[id]?.pauseUntil = nil }
            if !isFollowing, source.isRead, source.ask == nil { sources[id]?.isDone = true }
        }
        for (node, state) in nodes {
            if let retryAt = state.retryAt, retryAt <= now { nodes[node]?.retryAt = nil }
        }
        if !isDelivering, !waiting.isEmpty {
            effects.append(.deliver(waiting))
            (waiting, isDelivering) = ([], true)
        }
        if let lookAt, lookAt <= now {
            self.lookAt = now + Self.lookInterval
            effects.append(.look)
        }
        // Nothing more is asked for while something waits for the reader.
        if waiting.isEmpty { effects += ask(now, time) }
        if hasLooked, isDelivering == false, waiting.isEmpty, isComplete {
            isFinished = true
            effects.append(.finish)
        }
        return effects
    }

    /// Whether nothing can come any more.
    private var isComplete: Bool {
        guard sources.values.allSatisfy(\.isDone) else { return false }
        guard isFollowing, !isGone else { return true }
        // A service may get further tasks; a task that has ended gets no further lines.
        guard case .task(let id) = scope else { return false }
        return sources[id]?.isDone == true
    }

    private mutating func ask(_ now: Instant, _ time: Timestamp) -> [Effect] {
        var wanted: [ObjectID: (read: [ObjectID], wait: [ObjectID])] = [:]
        var busy: [ObjectID: Int] = [:]
        for ask in asks.values { busy[ask.node, default: 0] += 1 }
        for (id, source) in sources where !source.isDone && source.ask == nil && source.pauseUntil == nil {
            if source.isRead {
                wanted[source.place.node, default: ([], [])].wait.append(id)
            } else {
                wanted[source.place.node, default: ([], [])].read.append(id)
            }
        }
        var effects: [Effect] = []
        for (node, tasks) in wanted.sorted(by: { $0.key < $1.key }) {
            // First what is there, then, all together, what comes; whether a node is there again takes no wait.
            let isFailing = nodes[node]?.failingSince != nil
            let isReading = !tasks.read.isEmpty || isFailing
            guard nodes[node]?.retryAt == nil, busy[node, default: 0] < Self.asksPerNodeMax, isReading || isFollowing
            else { continue }
            let left = options.until.map { max($0 - time, .zero) } ?? LogAsk.patienceMax
            var patience = isReading ? Duration.zero : min(LogAsk.patienceMax, left)
            if !isReading, let other = asks.values.filter({ $0.node == node && $0.waits }).map(\.since).min() {
                guard other - now > Self.mergeInterval else { continue }
                patience = min(patience, other - now)
            }
            let all = (isFailing ? tasks.read + tasks.wait : isReading ? tasks.read : tasks.wait).sorted()
            nextAsk += 1
            // Another one begins each time: what fills the answer does not do so for ever.
            let start = Int(nextAsk % UInt64(all.count))
            let ids = (all[start...] + all[..<start]).prefix(LogAsk.wantsMax)
            asks[nextAsk] = Ask(node: node, tasks: Array(ids), since: now + patience, waits: !isReading)
            for id in ids { sources[id]?.ask = nextAsk }
            let wants = ids.compactMap { id in
                sources[id].map {
                    LogAsk.Want(
                        task: id, container: $0.place.container, position: $0.position, tail: $0.tail)
                }
            }
            let ask = LogAsk(
                wants, options, patience: patience, bytesMax: isReading ? Self.readBytes : Self.waitBytes)
            effects.append(.ask(nextAsk, node: node, ask))
        }
        return effects
    }
}
