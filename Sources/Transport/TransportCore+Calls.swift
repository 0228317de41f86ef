import ClusterSecurity
import Logging
import NIOCore
import SwarmCore
import SwarmNode

/// Requests of which each has one answer.
extension TransportCore {
    /// Calls to one peer that have no answer yet.
    static let callsMax = 1024
    /// Of those that may take their time.
    static let patientCallsMax = 4096

    func call(
        _ call: PeerCall, to route: PeerRoute, needsManager: Bool, timeout: Duration
    ) -> EventLoopFuture<Result<[UInt8], SwarmError>> {
        let promise = loop.makePromise(of: Result<[UInt8], SwarmError>.self)
        guard !isShutDown, server != nil else {
            promise.succeed(.failure(SwarmError(.unavailable, "the transport to other nodes is not running")))
            return promise.futureResult
        }
        let peer = peer(route.nodeID)
        let isPatient = configuration.patientCalls.contains(call.name)
        let limit = isPatient ? Self.patientCallsMax : Self.callsMax
        guard (isPatient ? peer.patientCalls : peer.calls.count - peer.patientCalls) < limit else {
            promise.succeed(
                .failure(
                    SwarmError(.resourceExhausted, "too many calls to node \(route.nodeID) wait for answers"))
            )
            return promise.futureResult
        }
        nextCall &+= 1
        let number = nextCall
        let bound = NIOLoopBound((self, peer), eventLoop: loop)
        let scheduled = loop.scheduleTask(in: timeout.timeAmount) {
            let (core, peer) = bound.value
            core.timedOut(number, call.name, timeout, peer)
        }
        if isPatient { peer.patientCalls += 1 }
        peer.calls[number] = Peer.PendingCall(
            promise: promise, timeout: scheduled, needsManager: needsManager, isPatient: isPatient)
        let now = NIODeadline.now()
        move(peer, to: route.addresses, now)
        let dropped = peer.queue.append(
            OutgoingQueue.Item(
                frame: Frame(kind: .call, body: call.encoded(number: number)), delivery: .call(number),
                since: now))
        if dropped > 0 { shared.count { $0.framesDropped += UInt64(dropped) } }
        // A round that failed a moment ago says as much as a new one would, but not for ever.
        if peer.current == nil, let retry = peer.retry {
            retry.cancel()
            peer.retry = nil
        }
        pump(peer)
        return promise.futureResult
    }

    private func timedOut(_ number: UInt64, _ name: String, _ timeout: Duration, _ peer: Peer) {
        let place = peer.calls[number]?.connection?.address
        peer.queue.removeCall(number)
        var tried = ""
        if let dial = peer.dial, place == nil {
            let endpoint = dial.index < dial.endpoints.count ? ", trying \(dial.endpoints[dial.index])" : ""
            tried =
                dial.failures.isEmpty ? endpoint : " (\(dial.failures.joined(separator: "; ")))\(endpoint)"
        }
        finish(
            number, of: peer,
            .failure(
                SwarmError(
                    .deadlineExceeded,
                    place.map { "node \(peer.nodeID) at \($0) did not answer \(name) within \(timeout)" }
                        ?? "node \(peer.nodeID) was not reached within \(timeout)\(tried)")))
    }

    private func finish(_ number: UInt64, of peer: Peer, _ result: Result<[UInt8], SwarmError>) {
        guard let call = peer.calls.removeValue(forKey: number) else { return }
        if call.isPatient { peer.patientCalls -= 1 }
        call.timeout.cancel()
        call.promise.succeed(result)
    }

    /// Of those that have not been sent.
    func failWaitingCalls(of peer: Peer, _ error: SwarmError) {
        for (number, call) in peer.calls where call.connection == nil {
            peer.queue.removeCall(number)
            finish(number, of: peer, .failure(error))
        }
    }

    func failCalls(of peer: Peer, sentOver connection: PeerConnection, _ reason: SwarmError) {
        for (number, call) in peer.calls where call.connection === connection {
            finish(
                number, of: peer,
                .failure(
                    SwarmError(
                        .unavailable,
                        "the connection with node \(peer.nodeID) at \(connection.address) ended before it answered; it "
                            + "may or may not have done what was asked", cause: reason.description)))
        }
    }

    /// From whichever connection of that node: the one that the call went over may have been replaced.
    func answered(_ frame: Frame, on connection: PeerConnection) throws(SwarmError) {
        guard frame.body.count >= 8 else {
            throw SwarmError(.invalidArgument, "an answer came without its number")
        }
        guard let principal = connection.principal, let peer = peers[principal.nodeID] else { return }
        let (number, rest) = (integer(frame.body[0..<8]), Array(frame.body[8...]))
        guard principal.role == .manager || peer.calls[number]?.needsManager != true else {
            shared.count { $0.violations += 1 }
            let text = "\(principal) answered a call that only managers may answer"
            if limiter.admits("violation \(principal.nodeID) answer") {
                logger.warning("a peer overstepped its role", metadata: metadata(connection, text))
            }
            finish(number, of: peer, .failure(SwarmError(.permissionDenied, text)))
            return
        }
        finish(
            number, of: peer,
            frame.kind == .answer ? .success(rest) : .failure(try decodeError(rest)))
    }

    // MARK: The other side

    func called(_ call: PeerCall, number: UInt64, on connection: PeerConnection) {
        let isStranger = connection.stage == .stranger
        guard !isStranger || configuration.strangerCalls.contains(call.name) else {
            respond(
                number, on: connection,
                .failure(
                    SwarmError(.permissionDenied, "only nodes of this cluster may ask for \"\(call.name)\"")))
            return
        }
        let isPatient = !isStranger && configuration.patientCalls.contains(call.name)
        guard
            isPatient
                ? connection.patientCallsBeingAnswered < Self.patientCallsMax
                : connection.callsBeingAnswered < (isStranger ? 1 : PeerConnection.callsMax)
        else {
            respond(
                number, on: connection,
                .failure(SwarmError(.resourceExhausted, "too many calls of this peer are being answered")))
            return
        }
        connection.count(1, isPatient)
        let bound = NIOLoopBound((self, connection), eventLoop: loop)
        let (loop, answer, principal, address) = (
            loop, callbacks.answer, connection.principal, connection.address
        )
        Task {
            let result = await answer(call, principal, address)
            loop.execute {
                let (core, connection) = bound.value
                connection.count(-1, isPatient)
                core.respond(number, on: connection, result)
            }
        }
    }

    private func respond(
        _ number: UInt64, on connection: PeerConnection, _ result: Result<[UInt8], SwarmError>
    ) {
        let head = bigEndian(number)
        var frame: Frame
        switch result {
        case .success(let bytes): frame = Frame(kind: .answer, body: head + bytes)
        case .failure(let error): frame = Frame(kind: .failure, body: head + encodeError(error))
        }
        if frame.body.count > configuration.frameBytesMax {
            let error = SwarmError(
                .resourceExhausted, "the answer has \(frame.body.count) bytes, too many to send")
            frame = Frame(kind: .failure, body: head + encodeError(error))
        }
        guard let nodeID = connection.principal?.nodeID else {
            connection.write(frame)
            connection.flush()
            connection.endStranger()
            return
        }
        guard !isShutDown, let peer = peers[nodeID] else { return }
        enqueue(frame, .once, for: peer, .now())
        pump(peer)
    }
}
