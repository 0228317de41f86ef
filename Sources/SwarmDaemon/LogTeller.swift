import ClusterSecurity
import LogGathering
import Ports
import SwarmCore
import SwarmModel
import SwarmWire

/// Answers a ``LogAsk`` from this node's containers, and keeps nothing between two of them.
struct LogTeller: Sendable {
    /// Of each task's log, however many are asked for at once.
    static let shareBytesMin = 4 << 10

    let runtime: any TaskLogs

    /// What a manager asks: it may read what tasks of this node wrote, and nobody else may.
    static func read(_ body: [UInt8], from principal: NodePrincipal) throws(SwarmError) -> LogAsk {
        guard principal.role == .manager else {
            throw SwarmError(
                .permissionDenied, "only managers may ask for the logs of tasks; \(principal) is none")
        }
        return try LogCallCodec.decodeAsk(body)
    }

    /// - Parameter containers: by the place of the want.
    func answer(_ ask: LogAsk, containers: [String]) async -> LogAnswer {
        let end = SystemClock.now() + min(ask.patience, LogAsk.patienceMax)
        var positions = ask.wants.map(\.position)
        while true {
            var answer = await look(ask, containers, &positions)
            let left = end - SystemClock.now()
            if !answer.outcomes.isEmpty || !answer.isComplete || left <= .zero || Task.isCancelled {
                for (index, want) in ask.wants.enumerated()
                where answer.outcomes[index] == nil && positions[index] != want.position {
                    // Lines that were not wanted are not to be looked at again.
                    answer.outcomes[index] = .piece(LogPiece(position: positions[index]))
                }
                return answer
            }
            await wait(containers, positions, left)
        }
    }

    private func look(_ ask: LogAsk, _ containers: [String], _ positions: inout [LogPosition]) async -> LogAnswer {
        var answer = LogAnswer()
        var left = min(ask.bytesMax, LogAsk.answerBytesMax)
        let share = max(left / max(ask.wants.count, 1), Self.shareBytesMin)
        for (index, want) in ask.wants.enumerated() {
            guard left > 0 else {
                answer.isComplete = false
                break
            }
            do throws(SwarmError) {
                let piece = try await runtime.readLog(
                    containers[index], ofTask: want.task, ask.options(want), from: positions[index],
                    bytesMax: min(share, left))
                positions[index] = piece.position
                guard !piece.lines.isEmpty || piece.isOver || piece.hasMore || piece.hasGap else { continue }
                left -= piece.lines.reduce(0) { $0 + $1.text.count + LogLine.overheadBytes }
                answer.outcomes[index] = .piece(piece)
            } catch {
                answer.outcomes[index] = error.code == .notFound ? .absent : .failed(error.description)
            }
        }
        return answer
    }

    /// Until one of the logs has more, or the time is over.
    private func wait(_ containers: [String], _ positions: [LogPosition], _ left: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            for (container, position) in zip(containers, positions) {
                group.addTask { await runtime.waitForLog(container, beyond: position) }
            }
            group.addTask { try? await Task.sleep(for: left) }
            await group.next()
            group.cancelAll()
        }
    }
}
