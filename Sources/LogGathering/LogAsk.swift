package import Ports
package import SwarmCore
package import SwarmModel

/// What a manager asks a node: lines of some of its tasks, each from where it was read last.
///
/// Nothing is kept at the node between two asks: a reader that goes away, or is slow, costs it nothing.
package struct LogAsk: Sendable, Equatable {
    /// Tasks in one ask; a node does not have more.
    package static let wantsMax = 16_384
    /// Text in one answer, whatever was asked for; a single line may be longer.
    package static let answerBytesMax = 256 << 10
    /// How long a node lets an ask wait, whatever was asked for.
    package static let patienceMax: Duration = .seconds(10)

    package struct Want: Sendable, Equatable {
        package var task: ObjectID
        /// As the task's status says; the node may know better.
        package var container: String
        package var position: LogPosition
        /// The last so many lines alone; nil from the position on.
        package var tail: Int?

        package init(task: ObjectID, container: String, position: LogPosition = .beginning, tail: Int? = nil) {
            (self.task, self.container, self.position, self.tail) = (task, container, position, tail)
        }
    }

    package var wants: [Want]
    package var stdout: Bool
    package var stderr: Bool
    package var since: Timestamp?
    package var until: Timestamp?
    /// How long to wait when there is nothing to tell; zero: not at all.
    package var patience: Duration
    package var bytesMax: Int

    package init(_ wants: [Want], _ options: LogOptions, patience: Duration, bytesMax: Int) {
        (self.wants, self.patience, self.bytesMax) = (wants, patience, bytesMax)
        (stdout, stderr, since, until) = (options.stdout, options.stderr, options.since, options.until)
    }

    /// For one of the wants.
    package func options(_ want: Want) -> LogOptions {
        var options = LogOptions()
        (options.stdout, options.stderr, options.since, options.until) = (stdout, stderr, since, until)
        options.tail = want.tail
        return options
    }
}

/// What a node has to tell about some of the tasks that it was asked for; those without news are left out.
package struct LogAnswer: Sendable, Equatable {
    package enum Outcome: Sendable, Equatable {
        case piece(LogPiece)
        /// The task has no container here.
        case absent
        case failed(String)
    }

    /// By the place of the want in its ask.
    package var outcomes: [Int: Outcome]
    /// Every want was looked at; otherwise there was no room for all.
    package var isComplete: Bool

    package init(outcomes: [Int: Outcome] = [:], isComplete: Bool = true) {
        (self.outcomes, self.isComplete) = (outcomes, isComplete)
    }
}

/// Whose lines are gathered.
package enum LogScope: Sendable, Hashable {
    case service(ObjectID)
    case task(ObjectID)

    package var id: ObjectID {
        switch self {
        case .service(let id), .task(let id): id
        }
    }
}

/// A task whose log somebody wants, as the store has it now.
package struct LogPlace: Sendable, Equatable {
    package var task: ObjectID
    package var service: ObjectID
    /// `web.1`
    package var name: String
    package var node: ObjectID
    /// The node's host name, or its identifier.
    package var nodeName: String
    package var container: String
    /// The task runs no more.
    package var isEnded: Bool
    /// The cluster knows that the node is not there.
    package var isNodeDown: Bool

    package init(
        task: ObjectID, service: ObjectID, name: String, node: ObjectID, nodeName: String, container: String,
        isEnded: Bool = false, isNodeDown: Bool = false
    ) {
        (self.task, self.service, self.name, self.node) = (task, service, name, node)
        (self.nodeName, self.container, self.isEnded, self.isNodeDown) = (nodeName, container, isEnded, isNodeDown)
    }
}

/// A line, and whose it is.
package struct GatheredLine: Sendable, Equatable {
    package var line: LogLine
    package var task: ObjectID
    package var service: ObjectID
    package var node: ObjectID

    package init(_ line: LogLine, task: ObjectID, service: ObjectID, node: ObjectID) {
        (self.line, self.task, self.service, self.node) = (line, task, service, node)
    }
}
