import CLinux
import Glibc
import NameService
import SwarmCore
import Synchronization

/// One thread that answers the datagrams of every resolver of this node.
///
/// Not NIO: a turn takes and gives up to 64 datagrams with two system calls, and an answer that was given before is
/// copied, not made again (decision 12). The thread stays in the host's namespace; the sockets belong to the
/// containers' (architecture §9).
///
/// `@unchecked Sendable`: the table of sockets is behind a lock, everything else belongs to the thread.
final class DatagramLoop: @unchecked Sendable {
    private let shared: SharedNames
    private let epoll: Int32
    private let sockets = Mutex<[Int32: ResolverSocket]>([:])

    /// - Throws: `.resourceExhausted` when the kernel gives no epoll instance or no thread.
    init(_ shared: SharedNames) throws(SwarmError) {
        self.shared = shared
        epoll = clinux_epoll_create()
        guard epoll >= 0 else { throw SwarmError(.resourceExhausted, "no epoll instance for the name server") }
        let retained = unsafe Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let status = unsafe pthread_create(
            &thread, nil,
            { raw in
                guard let raw = unsafe raw else { return nil }
                // The thread lives as long as the process, and so does the loop.
                unsafe Unmanaged<DatagramLoop>.fromOpaque(raw).takeRetainedValue().run()
                return nil
            }, retained)
        guard status == 0 else { throw SwarmError(.resourceExhausted, "no thread for the name server") }
        pthread_detach(thread)
    }

    func add(_ socket: ResolverSocket) {
        sockets.withLock { $0[socket.descriptor] = socket }
        clinux_epoll_add(epoll, socket.descriptor)
    }

    func remove(_ socket: ResolverSocket) {
        clinux_epoll_remove(epoll, socket.descriptor)
        sockets.withLock { $0[socket.descriptor] = nil }
    }

    private func run() {
        guard let batch = unsafe clinux_batch_create() else {
            preconditionFailure("no memory for the name server's datagrams")
        }
        var ready = [Int32](repeating: -1, count: 64)
        while true {
            let count = unsafe clinux_epoll_wait(epoll, &ready, Int32(ready.count))
            guard count > 0 else { continue }
            let list = ready.prefix(Int(count))
            let known = sockets.withLock { sockets in list.compactMap { sockets[$0] } }
            for socket in known { unsafe serve(socket, batch) }
        }
    }

    private func serve(_ socket: ResolverSocket, _ batch: OpaquePointer) {
        let count = unsafe clinux_batch_receive(batch, socket.descriptor)
        guard count > 0 else { return }
        let (directory, version) = shared.current
        let view = socket.view.current
        socket.memo.use(version: version &<< 20 ^ view.version)
        var answered = 0
        for index in 0..<count {
            var length = 0
            guard let bytes = unsafe clinux_batch_query(batch, index, &length),
                let room = unsafe clinux_batch_reply(batch, index)
            else { continue }
            let query = unsafe UnsafeRawBufferPointer(start: bytes, count: length)
            let reply = unsafe UnsafeMutableRawBufferPointer(start: room, count: Int(CLINUX_REPLY_MAX))
            if let known = unsafe socket.memo.answer(query, into: reply) {
                unsafe clinux_batch_set_reply(batch, index, known)
                answered += 1
                continue
            }
            let asked = unsafe Array(query)
            let peer = unsafe clinux_batch_peer(batch, index)
            guard let made = socket.resolve(asked, directory, view, shared, peer) else { continue }
            unsafe made.withUnsafeBytes { unsafe reply.copyMemory(from: $0) }
            unsafe clinux_batch_set_reply(batch, index, made.count)
            answered += 1
        }
        unsafe clinux_batch_send(batch, socket.descriptor)
        shared.counters.add(answered: answered)
    }
}

/// One container's datagram socket; closed when nobody can write to it any more.
///
/// `@unchecked Sendable`: only the loop's thread touches `memo`.
final class ResolverSocket: @unchecked Sendable {
    let descriptor: Int32
    let view: ScopeBox
    private let forwarder: Forwarder
    var memo = AnswerMemo()

    /// Takes ownership of `descriptor`.
    init(_ descriptor: Int32, _ view: ScopeBox, _ forwarder: Forwarder) {
        (self.descriptor, self.view, self.forwarder) = (descriptor, view, forwarder)
    }

    deinit { close(descriptor) }

    /// The answer to a query that was not asked before; nil when it comes later or never.
    fileprivate func resolve(
        _ bytes: [UInt8], _ directory: ServiceDirectory, _ view: ScopeBox.View, _ shared: SharedNames,
        _ peer: clinux_peer
    ) -> [UInt8]? {
        var generator = shared.random()
        let resolution = ServiceResolver.resolve(
            bytes, isStream: false, in: directory, scope: view.scope, using: &generator)
        switch resolution {
        case .answer(let reply):
            memo.store(bytes, reply)
            return reply
        case .malformed(let reply):
            shared.counters.add(malformed: 1)
            return reply
        case .drop:
            shared.counters.add(malformed: 1)
            return nil
        case .forward(let query):
            shared.counters.add(forwarded: 1)
            forwarder.forward(bytes, query, to: view.upstreams, isStream: false) { [weak self] reply in
                guard let self else { return }
                _ = unsafe clinux_datagram_send(self.descriptor, peer, reply, reply.count)
            }
            return nil
        }
    }
}
