import LogGathering
import SwarmCore
import SwarmModel
import Synchronization

/// Runs a ``LogGatherer``: asks, waits, and hands on, until it has finished or its reader has gone.
struct LogCollector: Sendable {
    /// The tasks as the store has them now, as ``LogGatherer/Event/places(_:isGone:)``.
    var places: @Sendable () async -> LogGatherer.Event
    /// Answers in bounded time.
    var ask: @Sendable (ObjectID, LogAsk) async -> Result<LogAnswer, SwarmError>

    /// - Parameters:
    ///   - changes: says something whenever `places` may answer otherwise.
    ///   - deliver: takes its time, and throws when nobody wants more.
    func run(
        _ machine: LogGatherer, changes: AsyncStream<Void>, to deliver: ([GatheredLine]) async throws -> Void
    ) async throws {
        // Never holds more than an answer for each ask, one look and one deadline.
        let (signals, mailbox) = AsyncStream.makeStream(of: LogSignal.self)
        let look = PendingLook(mailbox)
        let watcher = Task { for await _ in changes { look.ask() } }
        var asks: [UInt64: Task<Void, Never>] = [:]
        var timer: Task<Void, Never>?
        defer {
            watcher.cancel()
            timer?.cancel()
            for ask in asks.values { ask.cancel() }
            mailbox.finish()
        }
        var gatherer = machine
        look.ask()
        for await signal in signals {
            var events: [LogGatherer.Event] = []
            switch signal {
            case .answered(let ask, let result):
                asks[ask] = nil
                events = [.answered(ask: ask, result)]
            case .deadline: events = [.deadlineReached]
            case .look:
                look.begin()
                events = [await places()]
            }
            while !events.isEmpty {
                let effects = gatherer.receive(
                    events.removeFirst(), at: SystemClock.now(), time: SystemClock.timestamp())
                for effect in effects {
                    guard case .ask(let number, let node, let question) = effect else { continue }
                    let ask = self.ask
                    asks[number] = Task { mailbox.yield(.answered(number, await ask(node, question))) }
                }
                // The asks are on their way while the reader takes its time.
                for effect in effects {
                    switch effect {
                    case .ask: break
                    case .deliver(let lines):
                        try await deliver(lines)
                        events.append(.taken)
                    case .look: look.ask()
                    case .finish: return
                    }
                }
            }
            timer?.cancel()
            timer = nil
            let now = SystemClock.now()
            guard let deadline = gatherer.nextDeadline(at: now, time: SystemClock.timestamp()) else { continue }
            timer = Task {
                try? await Task.sleep(for: max(deadline - now, .milliseconds(1)))
                if !Task.isCancelled { mailbox.yield(.deadline) }
            }
        }
    }
}

private enum LogSignal: Sendable {
    case answered(UInt64, Result<LogAnswer, SwarmError>)
    case deadline
    case look
}

/// One look at the store is asked for at a time, however often it changes.
private final class PendingLook: Sendable {
    private let mailbox: AsyncStream<LogSignal>.Continuation
    private let isPending = Atomic<Bool>(false)

    init(_ mailbox: AsyncStream<LogSignal>.Continuation) { self.mailbox = mailbox }

    func ask() {
        if !isPending.exchange(true, ordering: .acquiringAndReleasing) { mailbox.yield(.look) }
    }

    /// What changes from here on needs another look.
    func begin() { isPending.store(false, ordering: .releasing) }
}
