import Glibc
import Synchronization

/// One thread of its own for calls that block: an actor that returns it as its executor never holds up the
/// cooperative pool, which has as many threads as the machine has cores.
final class BlockingThread: SerialExecutor {
    private let inbox = Inbox()

    init() {
        let body = ThreadBody(inbox: inbox, executor: self)
        let argument = unsafe Unmanaged.passRetained(body).toOpaque()
        var thread = pthread_t()
        let status = unsafe pthread_create(
            &thread, nil,
            { raw in
                guard let raw = unsafe raw else { return nil }
                unsafe Unmanaged<ThreadBody>.fromOpaque(raw).takeRetainedValue().run()
                return nil
            }, argument)
        precondition(status == 0, "pthread_create failed: the machine has no thread left")
        pthread_detach(thread)
    }

    deinit { inbox.close() }

    func enqueue(_ job: consuming ExecutorJob) { inbox.append(UnownedJob(job)) }

    /// Jobs in the order they came, and the way to wake the one thread that waits for them.
    private final class Inbox: Sendable {
        private let shared = Mutex<(jobs: [UnownedJob], isClosed: Bool)>(([], false))
        private let wakeUp = WakeUp()

        func append(_ job: UnownedJob) {
            shared.withLock { $0.jobs.append(job) }
            wakeUp.post()
        }

        func close() {
            shared.withLock { $0.isClosed = true }
            wakeUp.post()
        }

        /// The jobs that are there, once there are any; nil when closed and empty.
        func take() -> [UnownedJob]? {
            while true {
                let (jobs, isClosed) = shared.withLock { state in
                    defer { state.jobs = [] }
                    return (state.jobs, state.isClosed)
                }
                if !jobs.isEmpty { return jobs }
                if isClosed { return nil }
                wakeUp.wait()
            }
        }
    }

    private final class ThreadBody: Sendable {
        private let inbox: Inbox
        // A job keeps its actor alive and the actor its executor, so the executor outlives every job.
        private unowned let executor: BlockingThread

        init(inbox: Inbox, executor: BlockingThread) { (self.inbox, self.executor) = (inbox, executor) }

        func run() {
            while let jobs = inbox.take() {
                for job in jobs { unsafe job.runSynchronously(on: executor.asUnownedSerialExecutor()) }
            }
        }
    }
}

/// A POSIX semaphore at a stable address.
///
/// `@unchecked Sendable`: `sem_post` and `sem_wait` are made for being called from several threads.
@safe private final class WakeUp: @unchecked Sendable {
    private let semaphore: UnsafeMutablePointer<sem_t>

    init() {
        unsafe semaphore = .allocate(capacity: 1)
        unsafe sem_init(semaphore, 0, 0)
    }

    deinit {
        unsafe sem_destroy(semaphore)
        unsafe semaphore.deallocate()
    }

    func post() { unsafe sem_post(semaphore) }
    func wait() { while unsafe sem_wait(semaphore) != 0 && errno == EINTR {} }
}
