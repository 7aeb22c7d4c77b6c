# SPDX-License-Identifier: BSD-3-Clause
"""Reads topics of Kafka from their first offset to their end, once."""
import time

from confluent_kafka import (
    OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition)

from errors import CannotCheck

PATIENCE_S = 30  # without a message or an end
# What a broker says that has just started, or stood still for so long that its
# controller gave its partitions away, until it has them back.
PASSING = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE,
           KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH,
           KafkaError.BROKER_NOT_AVAILABLE, KafkaError.REPLICA_NOT_AVAILABLE,
           KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.REQUEST_TIMED_OUT,
           KafkaError.NETWORK_EXCEPTION, KafkaError._TRANSPORT, KafkaError._TIMED_OUT,
           KafkaError._ALL_BROKERS_DOWN}


def patiently(ask):
    """What ask() returns, which is asked again while what it raises passes by itself."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in PASSING or time.monotonic() > until:
                raise
        time.sleep(0.2)


class Kafka:
    def __init__(self, brokers, prefix=""):
        self.brokers, self.prefix = brokers, prefix

    def consumer(self, committed, **more):
        return Consumer({
            "bootstrap.servers": self.brokers,
            "group.id": "headrace-checker",  # never joined: partitions are assigned
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "auto.offset.reset": "earliest",
            "check.crcs": True,
            "fetch.wait.max.ms": 50,
            "queued.max.messages.kbytes": 65536,
            "log_level": 2,
            **more})

    def partitions(self):
        """{topic without prefix: number of partitions} of what is there."""
        consumer = self.consumer(False)
        try:
            found = consumer.list_topics(timeout=20).topics
        except Exception as error:
            raise CannotCheck(f"Kafka at {self.brokers}: {error}") from None
        finally:
            consumer.close()
        return {name[len(self.prefix):]: len(topic.partitions)
                for name, topic in found.items() if name.startswith(self.prefix)}

    def read(self, partitions, committed, begin=None):
        """Messages of {topic: number of partitions}, in batches, each partition in
        order; ends when each was read to its end. begin(topic, partition, low offset)
        is told where each begins."""
        consumer = self.consumer(committed)
        try:
            wanted = [TopicPartition(self.prefix + t, p, OFFSET_BEGINNING)
                      for t, n in partitions.items() for p in range(n)]
            if begin:
                for tp in wanted:
                    low, _ = patiently(
                        lambda tp=tp: consumer.get_watermark_offsets(tp, timeout=5))
                    begin(tp.topic[len(self.prefix):], tp.partition, low)
            consumer.assign(wanted)
            left = {(tp.topic, tp.partition) for tp in wanted}
            heard = time.monotonic()
            while left:
                batch = consumer.consume(5000, timeout=0.2)
                batch = [m for m in batch
                         if m.error() is None or m.error().code() not in PASSING]
                if batch:
                    heard = time.monotonic()
                elif time.monotonic() - heard > PATIENCE_S:
                    raise CannotCheck(f"{len(left)} partitions, such as "
                                      f"{min(left)}, say nothing for {PATIENCE_S} s")
                good = []
                for message in batch:
                    error = message.error()
                    if error is None:
                        good.append(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.discard((message.topic(), message.partition()))
                    else:
                        raise CannotCheck(f"{message.topic()}: {error.str()}")
                yield good
        except CannotCheck:
            raise
        except Exception as error:
            raise CannotCheck(f"Kafka at {self.brokers}: {error}") from None
        finally:
            consumer.close()

    def positions(self, n_shards):
        """{shard: text} of the topics view."""
        found = {}
        for batch in self.read({"headrace.positions": n_shards}, True):
            for message in batch:
                if message.key() == b"topics" and message.value():
                    found[message.partition()] = message.value()
        return found
