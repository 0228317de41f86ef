import ClusterSecurity
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import SwarmCore

/// Which connections there are, and over which one messages go.
extension TransportCore {
    // MARK: Dialing

    /// Tries the addresses one after another; the first that leads to the node wins.
    func startDial(_ peer: Peer) {
        guard contexts != nil, !isShutDown, peer.dial == nil, peer.retry == nil,
            peer.nodeID != identity.principal.nodeID
        else { return }
        let endpoints = peer.addresses.compactMap { Endpoint($0, defaultPort: configuration.defaultPort) }
        guard !endpoints.isEmpty else {
            failWaitingCalls(
                of: peer,
                SwarmError(.unavailable, "node \(peer.nodeID) cannot be reached: no address of it is known"))
            return
        }
        let dial = Peer.Dial(endpoints)
        peer.dial = dial
        attempt(dial, peer)
    }

    private func attempt(_ dial: Peer.Dial, _ peer: Peer) {
        guard dial.index < dial.endpoints.count else {
            roundFailed(dial, peer)
            return
        }
        let endpoint = dial.endpoints[dial.index]
        let connection = PeerConnection(core: self, opener: .here(expecting: peer.nodeID, at: endpoint))
        dial.connection = connection
        let bound = NIOLoopBound((self, connection), eventLoop: loop)
        ClientBootstrap(group: loop)
            .connectTimeout(configuration.connectTimeout.timeAmount)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.userTimeout, value: .init(userTimeout))
            .channelOption(.writeBufferWaterMark, value: Self.writeBuffer)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (core, connection) = bound.value
                    guard let context = core.contexts?.client else {
                        throw ChannelError.inappropriateOperationForState
                    }
                    let tls = try NIOSSLClientHandler(
                        context: context, serverHostname: nil,
                        customVerificationCallback: connection.proof.callback())
                    try channel.pipeline.syncOperations.addHandlers(tls, connection)
                }
            }
            .connect(to: endpoint)
            .assumeIsolated()
            .whenComplete { [self] result in
                switch result {
                case .success(let channel):
                    connections[ObjectIdentifier(connection)] = connection
                    // It may have ended before this was told.
                    if !channel.isActive {
                        over(connection)
                        closed(connection)
                    } else if isShutDown || peer.dial !== dial {
                        channel.close(promise: nil)
                    }
                case .failure(let error):
                    attemptEnded(dial, peer, words(error))
                }
            }
    }

    private func attemptEnded(_ dial: Peer.Dial, _ peer: Peer, _ reason: String) {
        guard peer.dial === dial else { return }
        dial.failures.append("\(dial.endpoints[dial.index]): \(reason)")
        dial.connection = nil
        dial.index += 1
        attempt(dial, peer)
    }

    private func roundFailed(_ dial: Peer.Dial, _ peer: Peer) {
        peer.dial = nil
        shared.count { $0.dialsFailed += 1 }
        let reasons = dial.failures.joined(separator: "; ")
        if peer.failedRounds >= Peer.warnsAfter, limiter.admits("unreachable \(peer.nodeID)") {
            logger.warning(
                "a peer cannot be reached", metadata: ["peer.id": "\(peer.nodeID)", "error": "\(reasons)"])
        }
        failWaitingCalls(
            of: peer, SwarmError(.unavailable, "node \(peer.nodeID) cannot be reached: \(reasons)"))
        let bound = NIOLoopBound((self, peer), eventLoop: loop)
        peer.retry = loop.scheduleTask(in: peer.pause(using: &generator)) {
            let (core, peer) = bound.value
            peer.retry = nil
            core.dropStale(peer, .now())
            core.pump(peer)
        }
    }

    /// Takes over what a route says; a node that moved is sought at its new address.
    func move(_ peer: Peer, to addresses: [String], _ now: NIODeadline) {
        guard !addresses.isEmpty, peer.addresses != addresses else { return }
        peer.addresses = addresses
        guard peer.movedAt + Peer.moveInterval <= now else { return }
        peer.movedAt = now
        guard peer.current == nil, let retry = peer.retry else { return }
        retry.cancel()
        peer.retry = nil
        peer.succeeded()
    }

    /// Whether another connection is to take the place of the current one, which this node opened.
    func isReplacementDue(_ peer: Peer) -> Bool {
        guard let current = peer.current, current.isUsable, let endpoint = current.endpoint, peer.next == nil,
            peer.dial == nil, peer.retry == nil
        else { return false }
        if current.generation != generation || current.isRedialAsked { return true }
        let endpoints = peer.addresses.compactMap { Endpoint($0, defaultPort: configuration.defaultPort) }
        return !endpoints.isEmpty && !endpoints.contains(endpoint)
    }

    func redial(_ connection: PeerConnection) {
        guard let peer = peers[connection.principal?.nodeID ?? ""], isReplacementDue(peer) else { return }
        startDial(peer)
    }

    // MARK: Trust

    /// Who is at the other end; throws in the words of ``ClusterSecurity``.
    func judge(_ chain: [[UInt8]], of connection: PeerConnection) throws(SwarmError) -> NodePrincipal {
        let principal = try PeerVerifier(trust: identity.trust).verify(chain: chain, at: callbacks.now())
        if case .here(let expected, let endpoint) = connection.opener, principal.nodeID != expected {
            throw SwarmError(
                .unauthenticated,
                "node \(expected) was to be at address \(endpoint), but what answered there is node \(principal.nodeID)"
            )
        }
        guard principal.nodeID != identity.principal.nodeID else {
            throw SwarmError(
                .unauthenticated,
                "another machine uses the certificate of node \(principal.nodeID): was its disk copied? Let the copy "
                    + "leave the swarm and join anew")
        }
        return principal
    }

    func distrusts(_ connection: PeerConnection, _ error: SwarmError) {
        shared.count { $0.peersDistrusted += 1 }
        guard limiter.admits("distrust \(connection.host)") else { return }
        logger.warning("a peer was refused", metadata: metadata(connection, "\(error)"))
    }

    func refused(_ connection: PeerConnection, _ error: SwarmError) {
        shared.count { $0.refusalsHeard += 1 }
        guard limiter.admits("refusal \(connection.host)") else { return }
        logger.warning("a peer refused this node", metadata: metadata(connection, "\(error)"))
    }

    // MARK: Ready connections

    /// What to say to a node that was dialed; nil when it is not wanted any more, and then the connection is closed.
    func introduction(on connection: PeerConnection) -> Introduction? {
        guard let nodeID = connection.principal?.nodeID, let peer = peers[nodeID],
            peer.dial?.connection === connection
        else {
            connection.end(SwarmError(.unavailable, "the node was not looked for any more"))
            return nil
        }
        return Introduction(instance: instance, count: peer.readyCount)
    }

    func ready(_ connection: PeerConnection) {
        guard let nodeID = connection.principal?.nodeID, peers[nodeID] != nil || peers.count < Self.peersMax
        else {
            connection.refuse(SwarmError(.resourceExhausted, "too many peers"))
            return
        }
        let peer = peer(nodeID)
        peer.readyCount += 1
        if connection.isOpenedHere {
            shared.count { $0.connectionsOpened += 1 }
            if peer.dial?.connection === connection { peer.dial = nil }
        } else {
            let welcome = Introduction(instance: instance, count: peer.readyCount)
            connection.write(Frame(kind: .welcome, body: welcome.encoded))
            if connection.generation != generation { connection.write(Frame(kind: .redial)) }
            connection.flush()
        }
        peer.retry?.cancel()
        peer.retry = nil
        limiter.forget("unreachable \(nodeID)")
        logger.debug(
            "connected with a peer",
            metadata: [
                "peer.id": "\(nodeID)", "peer.address": "\(connection.address)",
                "opened.here": "\(connection.isOpenedHere)",
            ])
        settle(connection, peer)
        pump(peer)
    }

    /// Decides which of two connections stays, as the other end does.
    private func settle(_ connection: PeerConnection, _ peer: Peer) {
        guard let other = peer.next ?? peer.current else {
            peer.current = connection
            cancelDial(of: peer)
            return
        }
        guard other.remote.instance == connection.remote.instance else {
            // The peer is another process now; what the one before still had under way is over.
            let last = peer.current
            peer.next = connection
            other.end(SwarmError(.unavailable, "the peer was started anew"))
            if let last, last !== other { last.end(SwarmError(.unavailable, "the peer was started anew")) }
            return
        }
        if other.isOpenedHere != connection.isOpenedHere {
            // Did the peer know of the other connection when it dialed? Then it has lost it.
            if !connection.isOpenedHere, connection.remote.count >= other.remote.count {
                replace(other, by: connection, peer)
                other.end(SwarmError(.unavailable, "the peer lost the connection"))
                return
            }
            // Opened at the same time: the one stays that was opened by the node with the smaller id.
            let isOursKept = identity.principal.nodeID < peer.nodeID
            guard connection.isOpenedHere == isOursKept else {
                connection.drain()
                return
            }
        }
        replace(other, by: connection, peer)
        other.drain()
    }

    private func replace(_ other: PeerConnection, by connection: PeerConnection, _ peer: Peer) {
        if other === peer.next || other === peer.current { peer.next = connection }
        cancelDial(of: peer)
    }

    /// Unless the peer has heard of it already: then both ends settle it.
    private func cancelDial(of peer: Peer) {
        guard let dial = peer.dial, dial.connection?.stage != .introducing else { return }
        peer.dial = nil
        dial.connection?.end(SwarmError(.unavailable, "the node is connected already"))
    }

    /// The channel is gone.
    func closed(_ connection: PeerConnection) {
        connections[ObjectIdentifier(connection)] = nil
        guard isShutDown, connections.isEmpty else { return }
        closed?.succeed(.success(()))
        closed = nil
    }

    /// Nothing more goes over the connection, or comes from it.
    func over(_ connection: PeerConnection) {
        guard !connection.isReported else { return }
        connection.isReported = true
        let reason = connection.reason ?? SwarmError(.unavailable, "the connection broke off")
        if case .here(let nodeID, _) = connection.opener, let peer = peers[nodeID], let dial = peer.dial,
            dial.connection === connection
        {
            attemptEnded(dial, peer, reason.description)
            return
        }
        guard connection.readyAt != nil, let nodeID = connection.principal?.nodeID, let peer = peers[nodeID]
        else { return }
        if !connection.isDrained { failCalls(of: peer, sentOver: connection, reason) }
        if peer.next === connection { peer.next = nil }
        guard peer.current === connection else { return }
        peer.current = peer.next
        peer.next = nil
        lost(connection, peer, reason)
        pump(peer)
    }

    private func lost(_ connection: PeerConnection, _ peer: Peer, _ reason: SwarmError) {
        logger.debug("a connection ended", metadata: metadata(connection, "\(reason)"))
        guard let readyAt = connection.readyAt else { return }
        let now = NIODeadline.now()
        if readyAt + Peer.successAfter <= now { peer.succeeded() }
        guard peer.current == nil, connection.isOpenedHere, !connection.isDrained,
            connection.lastMessage + Peer.wantedAfterLoss > now
        else { return }
        peer.wantedUntil = now + Peer.wantedAfterLoss
        // A peer that ends connections as soon as they are ready is not dialed in a tight loop.
        if readyAt + Peer.successAfter > now, peer.retry == nil {
            let bound = NIOLoopBound((self, peer), eventLoop: loop)
            peer.retry = loop.scheduleTask(in: peer.pause(using: &generator)) {
                let (core, peer) = bound.value
                peer.retry = nil
                core.pump(peer)
            }
        }
    }

    // MARK: Changes from outside

    func replaceIdentity(_ identity: NodeIdentity) {
        guard !isShutDown, contexts != nil else {
            self.identity = identity
            return
        }
        do throws(SwarmError) {
            contexts = try TLSContexts(identity, protocolName: PeerTransport.protocolName)
        } catch {
            logger.error(
                "the new certificate cannot be used, the old one stays", metadata: ["error": "\(error)"])
            return
        }
        self.identity = identity
        generation += 1
        for connection in Array(connections.values) { connection.judgeAgain() }
        for peer in peers.values {
            if let current = peer.current, current.isUsable, !current.isOpenedHere {
                current.write(Frame(kind: .redial))
                current.flush()
            } else if isReplacementDue(peer) {
                startDial(peer)
            }
        }
    }

    func disconnect(_ nodeID: String) {
        guard let peer = peers.removeValue(forKey: nodeID) else { return }
        let error = SwarmError(.unavailable, "node \(nodeID) was disconnected")
        peer.retry?.cancel()
        failWaitingCalls(of: peer, error)
        let open = [peer.current, peer.next, peer.dial?.connection].compactMap { $0 }
        (peer.current, peer.next, peer.dial) = (nil, nil, nil)
        for connection in open {
            failCalls(of: peer, sentOver: connection, error)
            connection.end(error)
        }
    }

    func shutdown() -> EventLoopFuture<Result<Void, SwarmError>> {
        let promise = loop.makePromise(of: Result<Void, SwarmError>.self)
        guard !isShutDown else {
            promise.succeed(.success(()))
            return promise.futureResult
        }
        let error = SwarmError(.unavailable, "the node is shutting down")
        for peer in peers.values {
            pump(peer)
            peer.retry?.cancel()
            failWaitingCalls(of: peer, error)
        }
        isShutDown = true
        ticker?.cancel()
        server?.close(promise: nil)
        for connection in connections.values {
            if connection.isUsable { connection.drain() } else { connection.end(error) }
        }
        guard !connections.isEmpty else {
            promise.succeed(.success(()))
            return promise.futureResult
        }
        closed = promise
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: configuration.drainTimeout.timeAmount + .milliseconds(500)) {
            let core = bound.value
            for connection in core.connections.values { connection.end(error) }
            core.closed?.succeed(.success(()))
            core.closed = nil
        }
        return promise.futureResult
    }
}
