/** The first words of a message's text, without quoted lines. */
export const snippet = (body: string, length = 80): string => {
  const own = body.split(/\r?\n/).filter((line) => !line.startsWith('>')).join(' ').replace(/\s+/gu, ' ').trim()
  const chars = Array.from(own)
  return chars.length <= length ? own : chars.slice(0, length - 1).join('') + '…'
}
