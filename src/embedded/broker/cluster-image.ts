/**
 * The cluster as one node knows it: what Metadata, DescribeCluster and FindCoordinator are answered from. A node hears of
 * changes at its own time; a test can stop that time for it.
 */
import type { ClusterView, Coordinated, CoordinatorMap } from './cluster-view.ts';
import type { Leadership } from './log/leader-epochs.ts';
import type { Topic, Topics } from './topics.ts';

export interface TopicImage {
  readonly name: string;
  /** 32 hex digits. */
  readonly id: string;
  /** By partition. */
  readonly leaders: readonly Leadership[];
}

export interface ClusterImage extends CoordinatorMap {
  readonly liveNodes: readonly number[];
  readonly controllerId: number;
  topics(): Iterable<TopicImage>;
  topic(name: string): TopicImage | undefined;
  topicById(id: string): TopicImage | undefined;
}

export function topicImage({ name, id, partitions }: Topic): TopicImage {
  return { name, id, leaders: partitions.map((log) => log.leadership) };
}

/** As things are. */
export class CurrentImage implements ClusterImage {
  readonly #view: ClusterView;
  readonly #topics: () => Topics;

  constructor(view: ClusterView, topics: () => Topics) {
    this.#view = view;
    this.#topics = topics;
  }

  get liveNodes(): readonly number[] {
    return this.#view.liveNodes;
  }

  get controllerId(): number {
    return this.#view.controllerId;
  }

  coordinatorOf(of: Coordinated): number {
    return this.#view.coordinatorOf(of);
  }

  topics(): Iterable<TopicImage> {
    return [...this.#topics().all()].map(topicImage);
  }

  topic(name: string): TopicImage | undefined {
    const topic = this.#topics().get(name);
    return topic === undefined ? undefined : topicImage(topic);
  }

  topicById(id: string): TopicImage | undefined {
    const topic = this.#topics().byId(id);
    return topic === undefined ? undefined : topicImage(topic);
  }

  /** As things are now, whatever comes. */
  frozen(): ClusterImage {
    const topics = new Map([...this.topics()].map((topic) => [topic.name, topic]));
    const coordinators = this.#view.coordinators();
    const { liveNodes, controllerId } = this;
    return {
      liveNodes,
      controllerId,
      coordinatorOf: (of) => coordinators.coordinatorOf(of),
      topics: () => topics.values(),
      topic: (name) => topics.get(name),
      topicById: (id) => [...topics.values()].find((topic) => topic.id === id),
    };
  }
}
