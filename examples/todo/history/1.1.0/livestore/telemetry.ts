/** Events that a newer release wrote and this one can't read, by sequence number: the store hands each over twice. */
const skipped = new Map<number, string>()

export const reportUnknownEvent = (event: { name: string; seqNum: { global: number } }) => {
  if (![...skipped.values()].includes(event.name)) {
    console.warn(`todo: skipping ${event.name}, an event of a newer release; please update`)
  }
  skipped.set(event.seqNum.global, event.name)
}

/** How many events were skipped, per event name. */
export const skippedEvents = (): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const name of skipped.values()) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
