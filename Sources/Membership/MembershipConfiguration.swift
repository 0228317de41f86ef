/// Names for every time and bound of ``MembershipMachine``.
package struct MembershipConfiguration: Sendable {
    // Failure detection
    /// One member is probed each interval, in a fresh random order each round.
    package var probeInterval: Duration
    /// A direct ping that takes longer is helped by indirect ones and a stream.
    package var probeTimeout: Duration
    package var indirectProbes = 3
    /// Shortest suspicion in probe intervals, times max(1, log10 n).
    package var suspicionMultiplier = 3
    /// The longest suspicion is so many times the shortest (Lifeguard's β).
    package var suspicionMaxFactor = 6
    /// Independent accusers that shorten a suspicion to the shortest (Lifeguard's K).
    package var confirmationsMax = 3
    /// Nobody is declared dead who is known to have been heard within this time.
    package var silenceMin: Duration
    /// Word of a later sign of life is passed on when it is later by more than this.
    package var evidenceMin: Duration = .milliseconds(50)
    /// In larger clusters only about so many members re-check a suspect at once.
    package var promptConfirmersMax = 32
    /// A deadline that comes later than this means that this process was stopped or its clock jumped.
    package var ownPauseThreshold: Duration
    /// Lifeguard's local health: 0 is well; times are multiplied by it plus one.
    package static let localHealthMax = 8

    // Dissemination
    package var gossipInterval: Duration
    package var gossipFanout = 3
    /// Each rumour is sent lambda * ceil(log10(n + 1)) times, and in small clusters more often.
    package var gossipLambda = 4
    package var transmitsMin = 8
    package var datagramBytesMax = 1400
    /// Left free in each datagram for sealing: key number, nonce, tag, version.
    package var sealBytes = 48
    /// The dead are gossiped to for so long: they learn of it and refute.
    package var gossipToTheDead: Duration = .seconds(30)

    // Anti-entropy and healing
    /// Grows with log2(n / 32) above 32 members.
    package var exchangeInterval: Duration
    package var exchangesMax = 4
    /// Members that are asked whether they live, after one exchange with somebody who doubts it.
    package var questionsMax = 32
    package var exchangeTimeout: Duration = .seconds(10)
    /// One dead member is tried each interval.
    package var reconnectInterval: Duration
    package var joinRetryInterval: Duration = .seconds(1)
    package var seedsMax = 64
    package var seedsAtOnce = 3
    /// The dead and the left are remembered for so long, at most ``departedMax`` of them.
    package var departedRetention: Duration = .seconds(24 * 3600)
    package var departedMax = 1024
    package var leaveDuration: Duration = .seconds(1)

    // Bounds of memory and input
    package var membersMax = 8192
    package var relaysMax = 256
    package static let identifierBytesMax = 128
    package static let metadataBytesMax = 512
    package static let claimsPerDatagramMax = 128
    package static let silenceMillisecondsMax: UInt32 = 60_000
    /// No honest counter gets here; refusing more keeps the increment from overflowing.
    package static let incarnationMax: Incarnation = 1 << 62
    /// By hearsay an incarnation grows by so much at most: nobody can lift it to where its owner cannot answer.
    package static let incarnationStepMax: Incarnation = 1 << 36

    init(
        probeInterval: Duration, probeTimeout: Duration, silenceMin: Duration, ownPauseThreshold: Duration,
        gossipInterval: Duration, exchangeInterval: Duration, reconnectInterval: Duration
    ) {
        (self.probeInterval, self.probeTimeout) = (probeInterval, probeTimeout)
        (self.silenceMin, self.ownPauseThreshold) = (silenceMin, ownPauseThreshold)
        (self.gossipInterval, self.exchangeInterval) = (gossipInterval, exchangeInterval)
        self.reconnectInterval = reconnectInterval
    }

    /// Machines in one room: a dead node of two to nine is held for dead by all after about 1.2 s.
    ///
    /// Measured over 115 seeds (`DetectionTests`), from the crash to the last survivor's verdict: median 1.11 to
    /// 1.17 s, slowest 1.35 s; with 10 % loss median 1.15 s, slowest 1.32 s; 32 members 1.5 s, 128 members 1.6 s.
    /// The parts: up to half a second until somebody probes it, 0.2 s until that probe has failed, 0.6 s of
    /// confirmed suspicion, and 1.15 s of silence towards everybody since it was last heard, whichever is later.
    /// The last rule is what lets a pause of one second pass: of 80 under 10 % loss, one was taken for a death.
    /// No false death in 240 s of five nodes with 0, 10, 20 and 30 % loss.
    package static let lan = MembershipConfiguration(
        probeInterval: .milliseconds(200), probeTimeout: .milliseconds(80), silenceMin: .milliseconds(1150),
        ownPauseThreshold: .milliseconds(300), gossipInterval: .milliseconds(60), exchangeInterval: .seconds(10),
        reconnectInterval: .milliseconds(500))

    /// Sites far apart: round trips to 300 ms, bursts of loss; a dead node takes about 5 s.
    package static let wan = MembershipConfiguration(
        probeInterval: .milliseconds(1000), probeTimeout: .milliseconds(500), silenceMin: .milliseconds(5000),
        ownPauseThreshold: .milliseconds(1500), gossipInterval: .milliseconds(300),
        exchangeInterval: .seconds(30), reconnectInterval: .milliseconds(2000))

    /// Namespaces of one machine: a dead node takes about 0.6 s; a pause of half a second is survived.
    package static let local = MembershipConfiguration(
        probeInterval: .milliseconds(100), probeTimeout: .milliseconds(40), silenceMin: .milliseconds(600),
        ownPauseThreshold: .milliseconds(200), gossipInterval: .milliseconds(30), exchangeInterval: .seconds(5),
        reconnectInterval: .milliseconds(250))

    /// How often one rumour is sent in a cluster of that size.
    func transmitLimit(members count: Int) -> Int {
        max(transmitsMin, gossipLambda * ceilLogarithm10(count + 1))
    }

    /// Shortest suspicion in a cluster of that size.
    func suspicionMin(members count: Int) -> Duration {
        let scale = max(1, Logarithm.base2(Double(max(count, 1))) / Logarithm.base2(10))
        return probeInterval * Double(suspicionMultiplier) * scale
    }

    func exchangeInterval(members count: Int) -> Duration {
        guard count > 32 else { return exchangeInterval }
        var doublings = 0
        while 32 << doublings < count { doublings += 1 }
        return exchangeInterval * (doublings + 1)
    }

    private func ceilLogarithm10(_ value: Int) -> Int {
        var (digits, power) = (0, 1)
        while power < value {
            power *= 10
            digits += 1
        }
        return digits
    }
}

/// Wrong turns that a test can make the machine take, to prove that the checkers notice. Never set elsewhere.
package struct MembershipMutations: OptionSet, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let losesRefutations = MembershipMutations(rawValue: 1 << 0)
    package static let ignoresOwnPauses = MembershipMutations(rawValue: 1 << 1)
    package static let believesDeathsByHearsay = MembershipMutations(rawValue: 1 << 2)
    package static let forgetsTheDead = MembershipMutations(rawValue: 1 << 3)
    package static let acceptsOlderIncarnations = MembershipMutations(rawValue: 1 << 4)
    package static let neverAsksHelpers = MembershipMutations(rawValue: 1 << 5)
    package static let takesMergedDeathsForTruth = MembershipMutations(rawValue: 1 << 6)
    package static let overfillsDatagrams = MembershipMutations(rawValue: 1 << 7)
    package static let suspectsForEver = MembershipMutations(rawValue: 1 << 8)
    package static let keepsOldAddresses = MembershipMutations(rawValue: 1 << 9)
    package static let believesContactsByHearsay = MembershipMutations(rawValue: 1 << 10)
    package static let believesDeparturesByHearsay = MembershipMutations(rawValue: 1 << 11)
    package static let believesSendersNames = MembershipMutations(rawValue: 1 << 12)
}

/// Logarithms without a C library, equal on every machine.
enum Logarithm {
    /// The binary logarithm of a positive finite number: the exponent, and a series for the significand.
    static func base2(_ value: Double) -> Double {
        guard value > 0, value.isFinite else { return 0 }
        let significand = value.significand
        // ln m = 2 atanh((m - 1) / (m + 1)); m < 2, so the ratio is below 1/3 and 14 terms are exact enough.
        let ratio = (significand - 1) / (significand + 1)
        var (power, sum) = (ratio, 0.0)
        for term in 0..<14 {
            sum += power / Double(2 * term + 1)
            power *= ratio * ratio
        }
        return Double(value.exponent) + 2 * sum / 0.693_147_180_559_945_3
    }
}
