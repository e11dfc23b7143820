const mention = /(?<![\p{L}\p{N}_])@(?<user>[\p{L}\p{N}_]{1,30})/gu

export const mentionsOf = (text: string): string[] => {
  const found = [...text.matchAll(mention)].map((m) => m.groups!.user!.normalize('NFC').toLowerCase())
  return [...new Set(found)].toSorted((a, b) => a.localeCompare(b))
}

export const emojiOnly = (text: string) => text.length > 0 && /^\p{Extended_Pictographic}+$/u.test(text.replaceAll('\ufe0f', ''))
