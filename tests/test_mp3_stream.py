"""The frame walk, against libsndfile's reading of LAME's files and frames put together by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helmholtz.codecs.mp3_stream import MPEG1_BITRATES, MPEG2_BITRATES, read_stream

lameenc = pytest.importorskip("lameenc")
NOISE = (np.random.default_rng(5).normal(size=(22_050, 2)) * 3000).astype(np.int16)
ID3 = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)  # 256 bytes, written with 7 bits a byte


def lame(bitrate: int, rate: int = 44_100, channels: int = 1, out: int | None = None) -> bytes:
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(channels)
    encoder.set_in_sample_rate(rate)
    encoder.set_bit_rate(bitrate)
    if out:
        encoder.set_out_sample_rate(out)
    return bytes(encoder.encode(np.ascontiguousarray(NOISE[:, :channels]).tobytes())) + bytes(encoder.flush())


def frame(
    index: int, version: int, *, rate: int = 0, mono: bool = True, crc: bool = False, pad: int = 0, parts: tuple[int, ...] = ()
) -> bytes:
    """One frame whose granules take `parts` bits each; written out bit by bit, as the standard's tables have it."""
    rates = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}[version]
    kbits = (MPEG1_BITRATES if version == 3 else MPEG2_BITRATES)[index - 1]
    size = (144 if version == 3 else 72) * kbits * 1000 // rates[rate] + pad
    header = f"{0x7FF:011b}{version:02b}01{0 if crc else 1}{index:04b}{rate:02b}{pad}0{'11' if mono else '00'}000000"
    if version == 3:
        side = "0" * (9 + (5 if mono else 3) + (4 if mono else 8)) + "".join(f"{part:012b}" + "1" * 47 for part in parts)
    else:
        side = "0" * (8 + (1 if mono else 2)) + "".join(f"{part:012b}" + "1" * 51 for part in parts)
    bits = header + ("1" * 16 if crc else "") + side
    return int(bits, 2).to_bytes(len(bits) // 8).ljust(size, b"\x55")


@pytest.mark.parametrize("mono", [True, False])
@pytest.mark.parametrize("crc", [True, False])
@pytest.mark.parametrize("version", [3, 2, 0])
def test_side_information_by_hand(version: int, crc: bool, mono: bool) -> None:
    parts = tuple(range(100, 100 + (2 if version == 3 else 1) * (1 if mono else 2)))
    one = frame(9, version, mono=mono, crc=crc, parts=parts)
    stream = read_stream(one * 3)
    assert stream.coded_bits == 3 * sum(parts)
    side = {(3, True): 17, (3, False): 32}.get((version, mono), 9 if mono else 17)
    assert stream.main_data_bits == 3 * 8 * (len(one) - 4 - 2 * crc - side)
    assert (stream.frames, stream.channels) == (3, 1 if mono else 2)
    assert stream.version == {3: "1", 2: "2", 0: "2.5"}[version]
    assert stream.samples == 3 * (1152 if version == 3 else 576)


def test_bitrate_of_varying_frames_is_their_mean() -> None:
    data = frame(1, 3, rate=2, parts=(1, 1)) + frame(14, 3, rate=2, parts=(1, 1))
    assert read_stream(data).bitrate == pytest.approx((32 + 320) / 2)


def test_padding_slot() -> None:
    assert read_stream(frame(9, 3, parts=(0, 0), pad=1) * 2).main_data_bits == 2 * 8 * (418 - 21)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("bitrate", "coded"), [(8, 8000), (16, 16000), (32, 22050), (40, 24000), (64, 44100), (128, 44100), (320, 44100)]
)
def test_lames_files_as_libsndfile_sees_them(bitrate: int, coded: int, channels: int) -> None:
    soundfile = pytest.importorskip("soundfile")
    data = lame(bitrate, channels=channels, out=coded)
    stream = read_stream(data)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (stream.sample_rate, stream.channels) == (file.samplerate, file.channels) == (coded, channels)
        assert stream.samples == len(file.read())
    assert stream.bitrate == pytest.approx(bitrate, rel=0.01)
    assert stream.bitrate == pytest.approx(8 * len(data) / (stream.samples / coded) / 1000)
    assert 0 < stream.coded_bits <= stream.main_data_bits < 8 * len(data)
    assert stream.well_formed
    assert not stream.truncated


def test_silence_is_stuffing() -> None:
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(44_100)
    encoder.set_bit_rate(128)
    stream = read_stream(bytes(encoder.encode(bytes(88_200))) + bytes(encoder.flush()))
    assert stream.coded_bits < 0.01 * stream.main_data_bits


@pytest.mark.parametrize("tail", [b"", b"TAG" + bytes(125), b"APETAGEX" + bytes(50)])
@pytest.mark.parametrize("head", [b"", ID3])
def test_tags_are_no_sound(head: bytes, tail: bytes) -> None:
    data = lame(32)
    assert read_stream(head + data + tail) == read_stream(data)


@pytest.mark.parametrize("kind", [b"Xing", b"Info"])
def test_xing_frame_is_not_counted_but_believed(kind: bytes) -> None:
    data = lame(128)
    frames = read_stream(data).frames
    for announced, truncated in ((frames, False), (frames + 1, True)):
        blank = frame(9, 3, parts=(0, 0))
        tag = blank[:21] + kind + (1).to_bytes(4) + announced.to_bytes(4) + blank[33:]
        stream = read_stream(tag + data)
        assert (stream.frames, stream.truncated) == (frames, truncated)


def test_stray_bytes_and_a_cut_end_are_told() -> None:
    data = lame(128)
    whole = read_stream(data)
    cut = read_stream(data[:-1])
    assert (cut.frames, cut.truncated, cut.well_formed) == (whole.frames - 1, True, True)
    one = frame(9, 3, parts=(0, 0))
    for stray in (one * 3 + b"\x00\xff\x12" * 9 + one * 2, b"\x00\xff\x12" * 9 + one * 5):
        stream = read_stream(stray)
        assert (stream.frames, stream.well_formed, stream.truncated) == (5, False, False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xfb",
        ID3,
        ID3[:7],
        b"RIFF" + bytes(100),
        bytes(1000),
        b"\xff" * 1000,
        frame(9, 3, parts=(0, 0))[:-1],
        b"\xff\xfb\x00\x00" + bytes(500),  # free bitrate
        b"\xff\xfd\x90\x00" + bytes(500),  # layer II
        b"\xff\xeb\x90\x00" + bytes(500),  # reserved version
        b"\xff\xfb\x9c\x00" + bytes(500),  # reserved sample rate
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + frame(9, 3, parts=(0, 0)),  # a tag longer than the file
    ],
)
def test_what_is_no_mp3(data: bytes) -> None:
    with pytest.raises(ValueError, match="MP3"):
        read_stream(data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_read_or_refused(draw: st.DataObject) -> None:
    data = bytearray(draw.draw(st.sampled_from([ID3 + lame(32), lame(128, channels=2)])))
    for _ in range(draw.draw(st.integers(0, 8))):
        data[draw.draw(st.integers(0, min(len(data) - 1, 2000)))] = draw.draw(st.integers(0, 255))
    data = data[: draw.draw(st.integers(0, len(data)))]
    try:
        stream = read_stream(bytes(data))
    except ValueError:
        return
    assert 0 <= stream.main_data_bits < 8 * len(data)
    assert 8 * 0.9 <= stream.bitrate <= 321
