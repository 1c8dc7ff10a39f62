//! What a number of events a second needs, from what one event costs. Arithmetic only.

/// How busy a core, a disk or a network is planned to be: the other half is for bursts, and for what a lost node leaves.
pub const BUSY: f64 = 0.5;
/// Copies of an event at the brokers: the default of `hookbus provision`.
pub const COPIES: f64 = 3.0;
/// Threads of a replica: the default of the chart.
pub const WORKERS: f64 = 2.0;
/// A broker's machine: cores, bits a second, bytes a second to its disks.
pub const BROKER: (f64, f64, f64) = (16.0, 10e9, 500e6);
/// Groups of subscribers that read everything.
pub const READERS: f64 = 1.0;
/// Fewest replicas, of each release: one may go.
pub const FEWEST_REPLICAS: f64 = 2.0;
/// Fewest brokers that hold three copies.
const FEWEST_BROKERS: f64 = 3.0;

/// What one event costs on one bus. A shard is a partition or a stream.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// Microseconds of CPU time in the gateway, and at a broker for one copy.
    pub gateway: f64,
    pub broker: f64,
    /// Bytes where it is stored, for one copy.
    pub stored: f64,
    /// How often a broker writes those to its disk.
    pub writes: f64,
    /// Bytes on the network between sender and gateway, and between gateway and broker.
    pub front: f64,
    pub back: f64,
    /// How often a broker hands it on before it reaches the one that leads the shard.
    pub hops: f64,
    /// Events a second that one shard is planned to take.
    pub shard: f64,
    /// Fewest shards: those that there are without any load.
    pub fewest_shards: f64,
    /// Fewest replicas for each shard: two where a stream is a release, otherwise none, and two in all.
    pub replicas_per_shard: f64,
}

/// What a cluster needs.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Seconds of CPU time each second.
    pub gateway_busy: f64,
    pub gateway_cores: f64,
    pub replicas: f64,
    /// Bits a second.
    pub front: f64,
    pub back: f64,
    pub broker_busy: f64,
    pub broker_cores: f64,
    /// Bytes a second, all copies: those that stay, and those that are written.
    pub stored: f64,
    pub disk: f64,
    /// Bits a second through all brokers, both ways.
    pub traffic: f64,
    pub brokers: f64,
    pub shards: f64,
}

impl Need {
    pub fn of(costs: &Costs, per_second: f64) -> Self {
        let shards = (per_second / costs.shard).ceil().max(costs.fewest_shards);
        let gateway_busy = per_second * costs.gateway / 1e6;
        let gateway_cores = (gateway_busy / BUSY).ceil();
        let fewest_replicas = FEWEST_REPLICAS.max(shards * costs.replicas_per_shard);
        let broker_busy = per_second * costs.broker * COPIES / 1e6;
        let broker_cores = (broker_busy / BUSY).ceil();
        let stored = per_second * costs.stored * COPIES;
        let disk = stored * costs.writes;
        // In from the gateways, out of a broker and into the leader for each hop; out of the leader and into the others for each
        // further copy, out to the readers.
        let (came, copied) = (1.0 + 2.0 * costs.hops, 2.0 * (COPIES - 1.0) + READERS);
        let traffic = per_second * (costs.back * came + costs.stored * copied) * 8.0;
        let (cores, network, write) = BROKER;
        let asked = [broker_cores / cores, traffic / (network * BUSY), disk / (write * BUSY)];
        Need {
            gateway_busy,
            gateway_cores,
            replicas: (gateway_cores / WORKERS).ceil().max(fewest_replicas),
            front: per_second * costs.front * 8.0,
            back: per_second * costs.back * 8.0,
            broker_busy,
            broker_cores,
            stored,
            disk,
            traffic,
            brokers: asked.into_iter().fold(FEWEST_BROKERS, |most, asked| most.max(asked.ceil())),
            shards,
        }
    }
}
