const MAX_CHARACTERS = 24

/** Pasted titles come with line breaks and runs of blanks, and long ones broke the list's layout. */
export const tidyTitle = (text: string): string => {
  const characters = [...text.trim().replace(/\s+/g, ' ')]
  if (characters.length <= MAX_CHARACTERS) return characters.join('')
  return `${characters.slice(0, MAX_CHARACTERS - 1).join('')}…`
}
