import ClusterSecurity
package import LogGathering
package import Ports
import Store
import SwarmCore
import SwarmModel
import SwarmNode
import SwarmWire
import Transport

/// Reads at one other node that do not wait there: so much text may be on its way from it at once.
struct LogReads {
    static let underWayMax = 8
    var underWay = 0
    /// At most ``LogGatherer/asksPerNodeMax`` of each reader.
    var waiting: [CheckedContinuation<SwarmError?, Never>] = []
}

/// Logs of tasks, wherever they run: gathered here for this node's clients, and told to other managers.
extension NodeDriver {
    /// A node that answers at all does so in this time, beyond what it was asked to wait.
    static let logAnswerTimeout: Duration = .seconds(3)
    /// And one that the cluster knows to be down is asked for so long, in case that it is back.
    static let downNodeTimeout: Duration = .seconds(1)

    // MARK: Gathering

    package nonisolated func gatherLogs(
        _ scope: LogScope, _ options: LogOptions,
        to deliver: @escaping @Sendable ([GatheredLine]) async throws -> Void
    ) async throws {
        let collector = LogCollector(
            places: { await self.logPlaces(of: scope) }, ask: { await self.askLogs(of: $0, $1) })
        let changes = await logChanges(of: scope.id)
        try await collector.run(LogGatherer(scope, options), changes: changes, to: deliver)
    }

    private func logPlaces(of scope: LogScope) -> LogGatherer.Event {
        guard let machine else { return .places([], isGone: true) }
        let store = machine.store
        let tasks: [SwarmTask]
        let isGone: Bool
        switch scope {
        case .service(let id): (tasks, isGone) = (store.tasks(ofService: id), store.services[id] == nil)
        case .task(let id): (tasks, isGone) = ([store.tasks[id]].compactMap { $0 }, store.tasks[id] == nil)
        }
        let places = tasks.compactMap { task -> LogPlace? in
            guard let node = task.nodeID, let container = task.status.containerStatus?.containerID,
                !container.isEmpty, !task.isAttachment
            else { return nil }
            let host = store.nodes[node]?.description.hostname ?? ""
            return LogPlace(
                task: task.id, service: task.serviceID ?? "", name: task.displayName, node: node,
                nodeName: host.isEmpty ? node : host, container: container,
                isEnded: task.status.state.isTerminal,
                isNodeDown: (store.nodes[node]?.status.state ?? "down") == "down")
        }
        return .places(places, isGone: isGone)
    }

    /// Says something whenever the tasks of a service, or one task, may have changed.
    private func logChanges(of id: ObjectID) -> AsyncStream<Void> {
        let (changes, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        nextLogWatcher += 1
        let key = nextLogWatcher
        logWatchers[id, default: [:]][key] = continuation
        continuation.onTermination = { [weak self] _ in Task { await self?.forgetLogWatcher(id, key) } }
        return changes
    }

    private func forgetLogWatcher(_ id: ObjectID, _ key: Int) {
        logWatchers[id]?[key] = nil
        if logWatchers[id]?.isEmpty == true { logWatchers[id] = nil }
    }

    func tellLogWatchers(of commit: Commit) {
        guard !logWatchers.isEmpty else { return }
        var touched: Set<ObjectID> = []
        for change in commit.changes {
            switch change.after ?? change.before {
            case .task(let task):
                touched.insert(task.id)
                if let service = task.serviceID { touched.insert(service) }
            case .service(let service) where change.after == nil: touched.insert(service.id)
            case .node(let node):
                // Nodes come and go seldom; which tasks that concerns is for the gatherers to see.
                guard case .node(let before) = change.before, change.after != nil,
                    before.status.state == node.status.state
                else {
                    touched.formUnion(logWatchers.keys)
                    continue
                }
            default: continue
            }
        }
        for id in touched { for watcher in (logWatchers[id] ?? [:]).values { watcher.yield() } }
    }

    // MARK: Asking a node

    private func askLogs(of node: ObjectID, _ ask: LogAsk) async -> Result<LogAnswer, SwarmError> {
        guard let machine, let swarm else { return .failure(SwarmError(.unavailable, SwarmText.notMember)) }
        if node == machine.nodeID { return .success(await tellLogs(ask)) }
        do throws(SwarmError) {
            let call = PeerCall(name: ClusterCall.logs, body: try LogCallCodec.encode(ask))
            let route = complete(machine.route(to: node))
            let waits = ask.patience > .zero
            let isDown = (machine.store.nodes[node]?.status.state ?? "down") == "down"
            let limit = isDown ? Self.downNodeTimeout : Self.logAnswerTimeout
            if !waits { try await beginLogRead(of: node) }
            let answer: [UInt8]
            do throws(SwarmError) {
                answer = try await swarm.peers.call(
                    call, to: route, timeout: ask.patience + limit)
            } catch {
                if !waits { endLogRead(of: node, error) }
                throw error
            }
            if !waits { endLogRead(of: node, nil) }
            return .success(try LogCallCodec.decodeAnswer(answer))
        } catch { return .failure(error) }
    }

    private func beginLogRead(of node: ObjectID) async throws(SwarmError) {
        guard logReads[node, default: LogReads()].underWay >= LogReads.underWayMax else {
            logReads[node, default: LogReads()].underWay += 1
            return
        }
        let failure = await withCheckedContinuation { logReads[node, default: LogReads()].waiting.append($0) }
        if let failure { throw failure }
    }

    private func endLogRead(of node: ObjectID, _ failure: SwarmError?) {
        guard var reads = logReads[node] else { return }
        if let failure {
            // Those that wait would learn no more than this one, and later.
            for waiting in reads.waiting { waiting.resume(returning: failure) }
            reads.waiting = []
        }
        if reads.waiting.isEmpty { reads.underWay -= 1 } else { reads.waiting.removeFirst().resume(returning: nil) }
        logReads[node] = reads.underWay > 0 ? reads : nil
    }

    // MARK: Telling

    func answerLogs(_ body: [UInt8], to principal: NodePrincipal) async throws(SwarmError) -> [UInt8] {
        let ask = try LogTeller.read(body, from: principal)
        return try LogCallCodec.encode(await tellLogs(ask))
    }

    private func tellLogs(_ ask: LogAsk) async -> LogAnswer {
        let containers = ask.wants.map { machine?.agent.containerID(ofTask: $0.task) ?? $0.container }
        return await LogTeller(runtime: service).answer(ask, containers: containers)
    }
}
