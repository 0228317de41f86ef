package import SwarmCore

/// What kind of failure stands behind an error of storage: it decides between waiting and stopping.
package enum DiskTrouble: Sendable, Equatable {
    /// No room, or over quota: what was to be written is kept, and written once there is room.
    case full
    /// The disk, the file system or a lock refuses now; it may work again.
    case refusing
    /// What is stored cannot be trusted, or swarmd asked for what makes no sense: trying again is of no use.
    case damaged

    /// Whether the same write may succeed later.
    package var mayPass: Bool { self != .damaged }
}

extension SwarmError {
    /// Of an error that ``SQLiteLogStorage``, ``LogWriter`` or ``AgentStateStore`` threw.
    package var diskTrouble: DiskTrouble {
        switch code {
        case .resourceExhausted: .full
        case .unavailable: .refusing
        default: .damaged
        }
    }
}
