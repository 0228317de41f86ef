/// The order in which Docker's objects list their members.
///
/// Our engine encodes objects without an order of their own, so `inspect` would print each time differently.
/// One list serves all kinds: known members stand as Docker shows them, others (labels, options) by name.
enum JSONKeyOrder {
    static func precedes(_ left: String, _ right: String) -> Bool {
        switch (ranks[left], ranks[right]) {
        case (let left?, let right?): left < right
        case (nil, nil): left < right
        case (let known, _): known != nil
        }
    }

    private static let ranks: [String: Int] = {
        var ranks: [String: Int] = [:]
        for (index, key) in keys.split(separator: " ").enumerated() where ranks[String(key)] == nil {
            ranks[String(key)] = index
        }
        return ranks
    }()

    private static let keys = """
        ID Version Index CreatedAt UpdatedAt Name Id RepoTags RepoDigests Parent Comment Created Labels Spec \
        PreviousSpec TaskTemplate ContainerSpec NetworkAttachmentSpec Mode Replicated Replicas Global ReplicatedJob \
        GlobalJob MaxConcurrent TotalCompletions UpdateConfig RollbackConfig EndpointSpec Role Availability \
        Description Hostname Platform Architecture OS Resources Limits Reservations NanoCPUs MemoryBytes Pids \
        GenericResources Engine EngineVersion Plugins Type TLSInfo TrustRoot CertIssuerSubject CertIssuerPublicKey \
        RootRotationInProgress DefaultAddrPool SubnetSize DataPathPort JoinTokens Worker Manager Image ImageID Command \
        Args Path Env Dir User Groups Privileges Init StopSignal TTY OpenStdin ReadOnly Source Target Consistency \
        BindOptions Propagation VolumeOptions NoCopy TmpfsOptions SizeBytes Mounts StopGracePeriod Healthcheck Test \
        Interval Timeout StartPeriod StartInterval Retries Hosts DNSConfig Nameservers Search Options Secrets Configs \
        File UID GID SecretID SecretName ConfigID ConfigName Isolation Sysctls CapabilityAdd CapabilityDrop Ulimits \
        Hard Soft RestartPolicy Condition Delay MaxAttempts Window Placement Constraints Preferences MaxReplicas \
        Platforms Networks Aliases DriverOpts LogDriver ForceUpdate Runtime Parallelism FailureAction Monitor \
        MaxFailureRatio Order Endpoint Ports Protocol TargetPort PublishedPort PublishMode VirtualIPs NetworkID Addr \
        UpdateStatus State StartedAt CompletedAt Message ServiceStatus RunningTasks DesiredTasks CompletedTasks \
        JobStatus JobIteration LastExecution ServiceID Slot NodeID Status Timestamp Err ContainerStatus ContainerID \
        PID ExitCode PortStatus DesiredState NetworksAttachments Network DriverState IPAMOptions Addresses \
        ManagerStatus Leader Reachability Running Paused Restarting OOMKilled Dead Pid Error FinishedAt Scope Driver \
        EnableIPv4 EnableIPv6 IPAM Config Subnet IPRange Gateway AuxiliaryAddresses Internal Attachable Ingress \
        ConfigFrom ConfigOnly Containers EndpointID MacAddress IPv4Address IPv6Address
        """
}
