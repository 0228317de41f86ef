/// Field names as Go reads them: whatever their case.
///
/// Docker's own client writes every name as it is declared, but its SDK for Python sends `{"replicated": {…}}` for a
/// service's mode, and Go takes that for `Replicated`.
enum GoFieldNames {
    /// Every name that a request's body may have, as declared.
    private static let declared = Set(
        """
        Addr Addresses AdvertiseAddr Aliases AllocatedGateway AllocatedSubnet AppArmor Architecture Args
        AttachStderr AttachStdin AttachStdout Attachable AutoLockManagers AutoRemove AuxiliaryAddresses
        Availability BindOptions Binds CACert CAConfig CapAdd CapDrop CapabilityAdd CapabilityDrop
        CertIssuerPublicKey CertIssuerSubject Cmd Command CompletedAt CompletedTasks Condition Config
        ConfigFrom ConfigID ConfigName Configs Consistency Constraints Container ContainerID ContainerSpec
        ContainerStatus CpuPeriod CpuQuota CreateMountpoint CreatedAt CredentialSpec DNSConfig Data
        DataPathAddr DataPathPort DefaultAddrPool Delay Description DesiredState DesiredTasks Devices Dir
        Disable DiscreteResourceSpec Dispatcher Dns DnsOptions DnsSearch Domainname Driver DriverConfig
        DriverConfiguration DriverOpts DriverState ElectionTick EnableIPv6 EncryptionConfig Endpoint
        EndpointConfig EndpointSpec EndpointsConfig Engine EngineVersion Entrypoint Env Err ExitCode
        ExposedPorts ExternalCAs ExtraHosts FailureAction File Force ForceNewCluster ForceRotate ForceUpdate
        GID Gateway GenericResources Global GlobalJob GossipKeys GossipKeysChangedAt GroupAdd Groups Hard
        Healthcheck HeartbeatPeriod HeartbeatTick HostConfig HostIp HostPort Hostname Hosts ID IPAM
        IPAMConfig IPAMOptions IPRange IPv6Enabled Image ImageOptions Index Ingress Init Internal Interval
        IpcMode Isolation JobIteration JobStatus JoinToken JoinTokens KeepOldSnapshots Kind Labels
        LastExecution Leader Level Limits ListenAddr LogConfig LogDriver LogEntriesForSlowFollowers Manager
        ManagerStatus MaxAttempts MaxConcurrent MaxFailureRatio MaxReplicas MaximumRetryCount Memory
        MemoryBytes MemoryReservation Message Mode Monitor Mounts Name NamedResourceSpec Nameservers
        NanoCPUs NanoCpus Network NetworkAttachmentSpec NetworkID NetworkMode NetworkingConfig Networks
        NetworksAttachments NoCopy NoNewPrivileges NodeCertExpiry NodeID NonRecursive OS OomScoreAdj
        OpenStdin Options Orchestration Order PID Parallelism PidMode Pids PidsLimit Placement Platform
        Platforms Plugins PortBindings PortStatus Ports Preferences PreviousSpec PreviousSpecVersion
        Privileged Privileges Profile Propagation Protocol PublishAllPorts PublishMode PublishedPort Raft
        Range Reachability ReadOnly ReadOnlyForceRecursive ReadOnlyNonRecursive ReadonlyRootfs Registry
        RegistryAuth RemoteAddrs Replicas Replicated ReplicatedJob Reservations Resources RestartPolicy
        Retries Role RollbackConfig RootCertificates RootKey RootRotationInProgress RunningSince
        RunningTasks Runtime SELinuxContext Scope Search Seccomp SecretID SecretName Secrets SecurityOpt
        ServiceID ServiceLabels ServiceName ServiceStatus SigningCACert SigningCAKey SizeBytes Slot
        SnapshotInterval Soft Source Spec SpecVersion Spread SpreadDescriptor StartAfter StartInterval
        StartPeriod StartedAt State Status StdinOnce StopGracePeriod StopSignal StopTimeout Subnet
        SubnetSize Subpath Sysctls TLSInfo TTY Target TargetPort TaskDefaults TaskHistoryRetentionLimit
        TaskTemplate Templating Test Timeout Timestamp Tmpfs TmpfsOptions TotalCompletions TrustRoot Tty
        Type UID URL UTSMode Ulimits UnlockKey UpdateConfig UpdateStatus UpdatedAt User VNI Value Version
        VirtualIPs VolumeOptions Volumes VolumesFrom Window Worker WorkingDir
        """.split(whereSeparator: \.isWhitespace).map(String.init))

    private static let byLowercase = Dictionary(declared.sorted().map { ($0.lowercased(), $0) }) { first, _ in first }

    /// The name that a field is declared with; unknown ones stay as they are. Keys of maps are not fields.
    static func declaredName(of written: String) -> String {
        declared.contains(written) ? written : byLowercase[written.lowercased()] ?? written
    }
}
