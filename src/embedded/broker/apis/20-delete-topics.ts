/** DeleteTopics v0 to v6. Positions that groups committed of a topic go with it. v4 is flexible, v6 takes topic ids. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { array, int16, int32, nullableString, since, string, struct, uuid } from '../wire-types.ts';

const NO_ID = '0'.repeat(32);

const request = struct({
  topics: since(6, array(struct({ name: nullableString, topicId: uuid })), []),
  names: since(0, array(string), [], 5),
  timeoutMs: int32,
});

const response = struct({
  throttleTimeMs: since(1, int32, 0),
  topics: array(
    struct({
      name: nullableString,
      topicId: since(6, uuid, NO_ID),
      errorCode: int16,
      errorMessage: since(5, nullableString, null),
    }),
  ),
});

export const deleteTopics = defineApi(
  request,
  response,
)({
  key: 20,
  name: 'DeleteTopics',
  minVersion: 0,
  maxVersion: 6,
  flexibleFrom: 4,
  handle({ topics, names }, { broker }) {
    const wanted = [...topics, ...names.map((name) => ({ name: name as string | null, topicId: NO_ID }))];
    return {
      throttleTimeMs: 0,
      topics: wanted.map(({ name, topicId }) => {
        const topic = name === null ? broker.topics.byId(topicId) : broker.topics.get(name);
        if (topic === undefined) {
          const errorCode = name === null ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
          return { name, topicId, errorCode: errorCode as number, errorMessage: null };
        }
        broker.deleteTopic(topic);
        return { name: topic.name, topicId: topic.id, errorCode: ErrorCode.NONE, errorMessage: null };
      }),
    };
  },
  fail: ({ topics, names }, errorCode) => ({
    throttleTimeMs: 0,
    topics: [...topics, ...names.map((name) => ({ name, topicId: NO_ID }))].map((topic) => ({
      ...topic,
      errorCode,
      errorMessage: null,
    })),
  }),
});
