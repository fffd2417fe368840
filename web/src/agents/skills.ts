import type { Skill } from '../api/types.ts'

/** Reads the folder that the user chose as a skill. Its name is that of the folder. */
export async function readSkill(chosen: File[]): Promise<Skill> {
  const folder = chosen[0]?.webkitRelativePath.split('/')[0] ?? ''
  const files = await Promise.all(
    chosen.map(async (file) => {
      const path = file.webkitRelativePath.split('/').slice(1).join('/')
      return { path, ...contentOf(await bytesOf(file)) }
    }),
  )
  return { name: folder, files }
}

function bytesOf(file: File): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.onload = () => resolve(new Uint8Array(reader.result as ArrayBuffer))
    reader.onerror = () => reject(new Error(`${file.name} cannot be read.`))
    reader.readAsArrayBuffer(file)
  })
}

function contentOf(bytes: Uint8Array): { content: string; encoding?: 'base64' } {
  try {
    return { content: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) }
  } catch {
    return {
      content: btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')),
      encoding: 'base64',
    }
  }
}
