"""The preview checkpoint, made from nothing on a CPU: photographs, lessons, training, examination."""
