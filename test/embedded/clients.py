"""confluent-kafka (librdkafka) and kafka-python on a broker: prints what clients.kafka.test.ts expects, a line each."""
import sys
import uuid

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaConsumer, KafkaProducer

brokers = sys.argv[1]
topic = 'py-' + uuid.uuid4().hex

admin = AdminClient({'bootstrap.servers': brokers})
for created in admin.create_topics([NewTopic(topic, 2, 1)]).values():
    created.result()

producer = Producer({'bootstrap.servers': brokers, 'transactional.id': topic, 'compression.type': 'zstd'})
producer.init_transactions()
consumer = Consumer({
    'bootstrap.servers': brokers,
    'group.id': topic,
    'group.instance.id': 'one',
    'auto.offset.reset': 'earliest',
    'isolation.level': 'read_committed',
    'enable.auto.commit': False,
})
consumer.subscribe([topic])
for i in range(4):
    producer.begin_transaction()
    for j in range(3):
        producer.produce(topic, key=str(j), value=f'{i}-{j}')
    producer.commit_transaction() if i % 2 == 0 else producer.abort_transaction()
seen = []
while len(seen) < 6:
    message = consumer.poll(10)
    assert message is not None and not message.error(), (seen, message and message.error())
    seen.append(message.value().decode())
print('committed', ' '.join(sorted(seen)))

producer.begin_transaction()
producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata())
producer.commit_transaction()
print('positions', sum(p.offset for p in consumer.committed(consumer.assignment()) if p.offset > 0) > 0)
print('state', admin.describe_consumer_groups([topic])[topic].result().state.name)
consumer.close()

writer = KafkaProducer(bootstrap_servers=brokers, compression_type='gzip')
for i in range(5):
    writer.send(topic, key=b'k', value=b'%d' % i).get(10)
reader = KafkaConsumer(topic, bootstrap_servers=brokers, group_id='kp-' + topic, auto_offset_reset='earliest', consumer_timeout_ms=3000)
print('kafka-python', len([m for m in reader]))
reader.close()
